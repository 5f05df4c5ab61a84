// SPDX-License-Identifier: Apache-2.0
#include "control/served_views.h"

#include <optional>
#include <string>
#include <utility>

#include "base/status.h"
#include "control/log.h"
#include "control/partition_probe.h"

namespace penstock {
namespace {

constexpr char kHiddenDirectory[] = ".penstock";

}  // namespace

ServedViews::ServedViews(const MountPlan& plan, ServedTree& tree)
    : plan_(plan),
      tree_(tree),
      hidden_(tree.add_directory(tree.root().node, kHiddenDirectory, nullptr, true)) {}

PartitionTable ServedViews::co_find_partitions(Backend& backend, const std::string& what) {
  if (!plan_.partitions) return {};
  const std::string file = std::to_string(next_file_++);
  tree_.add_file(hidden_, file,
                 {.backend = &backend,
                  .offset = 0,
                  .length = std::nullopt,
                  .writable = false,
                  .growable = false});
  absl::StatusOr<PartitionTable> table =
      co_probe_in_process(plan_.mount_point + "/" + kHiddenDirectory + "/" + file,
                          backend.root.node->size(), plan_.sector_size);
  if (table.ok()) return std::move(*table);
  log_line(LogLevel::kWarning,
           "no partitions are shown for " + what +
               ": they could not be looked for: " + status_text(table.status()));
  return {};
}

}  // namespace penstock
