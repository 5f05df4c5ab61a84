// SPDX-License-Identifier: Apache-2.0
// Resizing a node for a control command.
//
// Ownership: borrows.
// Threads: the control thread.
// Errors: ENOENT; EBUSY if a user of the node does not share resizing; those of the driver
//   (EOPNOTSUPP, EROFS). The size is then what it was.
// Invariants: the resize is a counted request like any other; nothing is drained for it, except
//   where filters stand above the node. on_resize of every backend whose size changed has been
//   called when this returns OK.
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

}  // namespace penstock
