// SPDX-License-Identifier: Apache-2.0
// Flushing one node, for the request path itself.
//
// Ownership: none.
// Threads: in flight in the node.
// Errors: as child_io's co_flush; sticky (flush_state.h).
// Invariants: see flush_state.h.
#pragma once

#include "absl/status/status.h"
#include "base/thread_roles.h"
#include "block/node/node.h"

namespace penstock {

absl::Status co_flush_node(Node& node) IO_CODE;

}  // namespace penstock
