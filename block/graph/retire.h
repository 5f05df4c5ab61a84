// SPDX-License-Identifier: Apache-2.0
// The end of a node: inactivate (I/O), then detach (graph, cannot fail), then free.
//
// Ownership: a node that is in the graph is freed; one that never was stays its owner's.
// Threads: the control thread.
// Errors: see RetireResult.
// Invariants: when it is gone, no context can reach the node any more.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/thread_roles.h"
#include "block/graph/drain.h"
#include "block/graph/graph.h"

namespace penstock {

struct RetireResult {
  absl::Status refused;              // EBUSY, ETIMEDOUT: the node is where it was, and usable
  absl::Status inactivation;         // the node is gone, but writing back failed
  std::vector<std::string> orphans;  // unnamed nodes in the graph that lost their last user
};

RetireResult co_retire(Graph& graph, Node& node, Nanoseconds limit) CONTROL_COROUTINE_CODE;

// Closes the nodes called `names` that are still there, unnamed and without users, and below them
// what that leaves so. The first failure to write back.
absl::Status co_close_orphans(Graph& graph, std::vector<std::string> names) CONTROL_COROUTINE_CODE;

}  // namespace penstock
