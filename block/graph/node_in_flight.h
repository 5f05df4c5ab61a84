// SPDX-License-Identifier: Apache-2.0
// Counted I/O of graph code in one node, past the gates: loading, inactivating.
//
// Ownership: on the stack of a control command's coroutine.
// Threads: begins on the control thread; it may end on another context.
// Errors: co_wait_until_undrained: ETIMEDOUT if another section stays on the node or below it.
// Invariants: while it lives the coroutine is in flight in the node, so a drain of the node or of
//   one below it waits. It must not be held while the coroutine begins a drain.
#pragma once

#include "absl/status/status.h"
#include "base/thread_roles.h"
#include "block/node/node.h"
#include "iothreads/poller.h"

namespace penstock {

class DrainedSection;
class Graph;

// Waits until no drained section but `own` (may be nullptr) covers `node` or a node below it. It
// holds until the next yield.
absl::Status co_wait_until_undrained(Graph& graph, const Node& node, const DrainedSection* own,
                                     Nanoseconds limit) CONTROL_COROUTINE_CODE;

class SCOPED_CAPABILITY NodeInFlight {
 public:
  // `operation` is a literal ("open"). REQUIRES: co_wait_until_undrained() in this slice.
  NodeInFlight(Node& node, const char* operation) ACQUIRES(in_flight_role);
  NodeInFlight(const NodeInFlight&) = delete;
  NodeInFlight& operator=(const NodeInFlight&) = delete;
  ~NodeInFlight() RELEASES();

 private:
  Node& node_;
};

}  // namespace penstock
