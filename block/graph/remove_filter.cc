// SPDX-License-Identifier: Apache-2.0
#include <cerrno>

#include "base/status.h"
#include "block/graph/redirect_users.h"

namespace penstock {

absl::Status Graph::co_remove_filter(const std::string& filter) {
  const Node* node = find(filter);
  if (node == nullptr) {
    return errno_message(ENOENT, "There is no node called '" + filter + "' to remove.");
  }
  const Child* child = node->find_child("file");
  if (!node->driver->is_filter() || child == nullptr || child->node == nullptr) {
    return errno_message(EINVAL, "Node '" + filter + "' (driver '" + node->driver_name +
                                     "') is no filter. Only filters can be removed from between "
                                     "a node and its users.");
  }
  const std::string child_name = child->node->name;
  absl::Status status = co_run_change(*this, std::make_unique<RedirectUsers>(filter, child_name));
  if (!status.ok()) return status;
  return co_close(filter);
}

}  // namespace penstock
