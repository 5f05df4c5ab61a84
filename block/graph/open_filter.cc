// SPDX-License-Identifier: Apache-2.0
#include "block/graph/open_filter.h"

#include <cerrno>

#include "base/status.h"

namespace penstock {

absl::StatusOr<Node*> co_open_filter(Graph& graph, const NodeOptions& options,
                                     const std::string& node) {
  if (options.children.count("file") != 0) {
    return errno_message(EINVAL, "The children of the filter to insert above node '" + node +
                                     "' must not include a 'file': it is to be that node. Leave "
                                     "it out.");
  }
  NodeOptions with_child = options;
  with_child.awaits_users = true;
  with_child.children["file"].reference = node;
  absl::StatusOr<Node*> filter = graph.co_open(with_child);
  if (!filter.ok() || (*filter)->driver->is_filter()) return filter;
  return co_close_filter(graph, (*filter)->name,
                         errno_message(EINVAL, "Driver '" + options.driver +
                                                   "' is no filter and cannot be inserted above "
                                                   "node '" +
                                                   node + "'."));
}

absl::Status co_close_filter(Graph& graph, const std::string& filter, const absl::Status& status) {
  const absl::Status closed = graph.co_close(filter);
  if (closed.ok()) return status;
  return annotate(status, "filter '" + filter + "' stays, unused (" + status_text(closed) + ")");
}

}  // namespace penstock
