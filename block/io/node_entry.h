// SPDX-License-Identifier: Apache-2.0
// One request's stay in one node: counted in flight, and named in the coroutine's tag.
//
// Ownership: on the request's stack; the node outlives it.
// Threads: a coroutine on any context; it may end on another one.
// Errors: none.
// Invariants: entries nest; the tag names the innermost node.
#pragma once

#include "block/node/node.h"
#include "iothreads/coroutine.h"

namespace penstock {

class NodeEntry {
 public:
  explicit NodeEntry(Node& node)
      : node_(node),
        self_(*Coroutine::self()),
        outer_(self_.tag().node.load(std::memory_order_relaxed)) {
    node.counters.begin(self_.context()->slot());
    ++self_.in_flight;
    self_.tag().node.store(&node, std::memory_order_relaxed);
  }
  NodeEntry(const NodeEntry&) = delete;
  NodeEntry& operator=(const NodeEntry&) = delete;
  ~NodeEntry() {
    self_.tag().node.store(outer_, std::memory_order_relaxed);
    --self_.in_flight;
    node_.counters.end(self_.context()->slot());
  }

  // Statistics, in the current context's slot.
  void count_request(uint64_t bytes) const {
    ContextCounters& slot = node_.counters.slot(self_.context()->slot());
    raise(slot.requests);
    raise(slot.bytes, bytes);
  }
  // The storage may have changed, so that a later flush has something to do. Called before the
  // request's caller hears of its end, also if it failed half-way.
  void count_write() const { raise(node_.counters.slot(self_.context()->slot()).writes_completed); }

 private:
  Node& node_;
  Coroutine& self_;
  const void* const outer_;
};

}  // namespace penstock
