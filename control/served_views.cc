// SPDX-License-Identifier: Apache-2.0
#include "control/served_views.h"

#include <cerrno>
#include <optional>
#include <string>
#include <utility>

#include "base/status.h"
#include "control/log.h"

namespace penstock {
namespace {

constexpr char kHiddenDirectory[] = ".penstock";

}  // namespace

ServedViews::ServedViews(const MountPlan& plan, ServedTree& tree)
    : plan_(plan),
      tree_(tree),
      hidden_(tree.add_directory(tree.root().node, kHiddenDirectory, nullptr, true)) {}

const std::string& ServedViews::hidden_file(Backend& backend) {
  const auto [place, is_new] = files_.emplace(&backend, std::to_string(files_.size()));
  if (is_new) {
    tree_.add_file(hidden_, place->second,
                   {.backend = &backend,
                    .offset = 0,
                    .length = std::nullopt,
                    .writable = false,
                    .growable = false});
  }
  return place->second;
}

absl::StatusOr<PartitionTable> ServedViews::co_find_partitions(Backend& backend,
                                                               const std::string& what) {
  if (!plan_.partitions) return PartitionTable{};
  absl::StatusOr<PartitionTable> table =
      probe_.co_probe(plan_.mount_point + "/" + kHiddenDirectory + "/" + hidden_file(backend),
                      backend.root.node->size(), plan_.sector_size);
  if (!table.ok() && status_errno(table.status()) != ECANCELED) {
    log_line(LogLevel::kWarning,
             "no partitions are shown for " + what +
                 ": they could not be looked for: " + status_text(table.status()));
  }
  return table;
}

}  // namespace penstock
