// SPDX-License-Identifier: Apache-2.0
// Detaching a backend without a drain of anything below it.
//
// Ownership: the backend is its user's, and may be destroyed afterwards.
// Threads: the control thread.
// Errors: of closing what nobody uses any more; the backend is detached all the same.
// Invariants: permissions that only this backend needed stay taken below its node until they are
//   next computed there. So nothing waits for requests, as narrowing them would.
#pragma once

#include "absl/status/status.h"
#include "base/thread_roles.h"
#include "block/graph/graph.h"

namespace penstock {

// REQUIRES: no request of the backend is under way, and none begins.
absl::Status co_let_go(Graph& graph, Backend& backend) CONTROL_COROUTINE_CODE;

}  // namespace penstock
