// SPDX-License-Identifier: Apache-2.0
#include <cerrno>

#include "base/status.h"
#include "block/graph/redirect_users.h"

namespace penstock {

absl::StatusOr<Node*> Graph::co_insert_filter(const NodeOptions& options, const std::string& node) {
  if (!options.children.empty()) {
    return errno_message(EINVAL, "The filter to insert above node '" + node +
                                     "' must not name children of its own. Leave them out.");
  }
  NodeOptions with_child = options;
  with_child.children["file"].reference = node;
  absl::StatusOr<Node*> filter = co_open(with_child);
  if (!filter.ok()) return filter;
  const std::string filter_name = (*filter)->name;

  absl::Status status;
  if (!(*filter)->driver->is_filter()) {
    status = errno_message(EINVAL, "Driver '" + options.driver +
                                       "' is no filter and cannot be inserted above node '" + node +
                                       "'.");
  } else {
    status = co_run_change(*this, std::make_unique<RedirectUsers>(node, filter_name));
  }
  if (status.ok()) return find(filter_name);
  absl::Status closed = co_close(filter_name);
  if (closed.ok()) return status;
  return annotate(status,
                  "filter '" + filter_name + "' stays, unused (" + status_text(closed) + ")");
}

}  // namespace penstock
