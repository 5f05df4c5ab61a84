// SPDX-License-Identifier: Apache-2.0
#include "control/blockdev_reopen.h"

#include <cerrno>
#include <string>
#include <utility>

#include "base/status.h"
#include "block/graph/reopen.h"
#include "control/blockdev_options.h"

namespace penstock {

absl::StatusOr<BlockdevReopening> parse_blockdev_reopening(const DriverRegistry& drivers,
                                                           const nlohmann::json& descriptions) {
  BlockdevReopening result;
  bool falls_back = false;
  for (size_t i = 0; i < descriptions.size(); ++i) {
    const std::string place = "options[" + std::to_string(i) + "]";
    absl::StatusOr<BlockdevOptions> options = parse_blockdev_options(drivers, descriptions[i]);
    if (!options.ok()) return annotate(options.status(), place);
    if (options->node.node_name.empty()) {
      return errno_message(EINVAL, place +
                                       ": 'node-name' must be specified: it says which node is "
                                       "to be reopened");
    }
    falls_back = falls_back || options->read_only_instead;
    result.read_only_instead.push_back(
        options->read_only_instead ? std::move(*options->read_only_instead) : options->node);
    result.nodes.push_back(std::move(options->node));
  }
  if (!falls_back) result.read_only_instead.clear();
  return result;
}

absl::Status co_reopen_blockdevs(Graph& graph, const nlohmann::json& descriptions) {
  const absl::StatusOr<BlockdevReopening> reopening =
      parse_blockdev_reopening(graph.drivers(), descriptions);
  if (!reopening.ok()) return reopening.status();
  absl::Status status = co_reopen(graph, reopening->nodes);
  const int error = status_errno(status);
  const bool not_writable = error == EACCES || error == EPERM || error == EROFS;
  if (!not_writable || reopening->read_only_instead.empty()) return status;
  return co_reopen(graph, reopening->read_only_instead);
}

}  // namespace penstock
