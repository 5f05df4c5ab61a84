// SPDX-License-Identifier: Apache-2.0
#include "block/graph/node_in_flight.h"

#include <cerrno>

#include "base/status.h"
#include "block/graph/drain.h"
#include "block/graph/graph.h"
#include "block/graph/topology.h"
#include "iothreads/control_thread.h"

namespace penstock {

absl::Status co_wait_until_undrained(Graph& graph, const Node& node, const DrainedSection* own,
                                     Nanoseconds limit) {
  const Nanoseconds deadline = AioContext::current()->now() + limit;
  const bool free = co_wait_released(graph.changes(), deadline, [&] {
    assert_control_thread();
    for (const DrainedSection* section : graph.changes().sections) {
      if (section != own && reaches_any(node, section->nodes())) return false;
    }
    return true;
  });
  if (free) return absl::OkStatus();
  return errno_message(ETIMEDOUT, "Node '" + node.name +
                                      "', or one below it, stays drained by another command. "
                                      "Try again when that has ended.");
}

NodeInFlight::NodeInFlight(Node& node, const char* operation) NO_THREAD_SAFETY_ANALYSIS
    : node_(node) {
  Coroutine& self = *Coroutine::self();
  node.counters.begin(AioContext::current()->slot());
  ++self.in_flight;
  self.tag().node.store(&node, std::memory_order_relaxed);
  self.tag().operation.store(operation, std::memory_order_relaxed);
  self.tag().offset.store(0, std::memory_order_relaxed);
  self.tag().length.store(0, std::memory_order_relaxed);
  self.tag().gate.store(&node, std::memory_order_relaxed);
}

NodeInFlight::~NodeInFlight() NO_THREAD_SAFETY_ANALYSIS {
  Coroutine& self = *Coroutine::self();
  self.tag().gate.store(nullptr, std::memory_order_relaxed);
  self.tag().node.store(nullptr, std::memory_order_relaxed);
  self.tag().operation.store(nullptr, std::memory_order_relaxed);
  --self.in_flight;
  node_.counters.end(AioContext::current()->slot());
}

}  // namespace penstock
