// SPDX-License-Identifier: Apache-2.0
// Resizing a node for a control command.
//
// Ownership: borrows.
// Threads: the control thread.
// Errors: ENOENT; EBUSY if a user of the node does not share resizing; those of the driver
//   (EOPNOTSUPP, EROFS); ETIMEDOUT from the drain. The size is then what it was.
// Invariants: the resize is a counted request like any other; drained before it are only the nodes
//   above that have the same size (filters). Giving the permission back afterwards keeps requests
//   out for 100 ms at most. on_resize of every backend whose size changed has been called when this
//   returns.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "base/thread_roles.h"
#include "block/graph/graph.h"

namespace penstock {

// `size` in bytes.
absl::Status co_resize_node(Graph& graph, const std::string& node_name,
                            uint64_t size) CONTROL_COROUTINE_CODE;

// Requests may have changed sizes: calls on_resize of every backend that knows another size of its
// node than there is now, and Graph::on_size_change for each such node.
void tell_sizes(Graph& graph) GLOBAL_STATE_CODE;

}  // namespace penstock
