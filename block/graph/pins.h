// SPDX-License-Identifier: Apache-2.0
// Keeps nodes from being closed while a change names them.
//
// Ownership: on the stack of a control command's coroutine.
// Threads: the control thread.
// Errors: none.
// Invariants: a pinned node is not freed; who closes it waits for the pins to go.
#pragma once

#include <vector>

#include "base/thread_roles.h"
#include "block/graph/graph.h"
#include "iothreads/control_thread.h"

namespace penstock {

class Pins {
 public:
  explicit Pins(Graph& graph) : graph_(graph) {}
  Pins(const Pins&) = delete;
  Pins& operator=(const Pins&) = delete;
  ~Pins() {
    assert_control_thread();
    ChangeState& state = graph_.changes();
    for (const Node* node : pinned_) {
      const auto count = state.pins.find(node);
      if (--count->second == 0) state.pins.erase(count);
    }
    state.released.set();
  }

  // nullptr is ignored.
  void add(const Node* node) GLOBAL_STATE_CODE {
    if (node == nullptr) return;
    ++graph_.changes().pins[node];
    pinned_.push_back(node);
  }

 private:
  Graph& graph_;
  std::vector<const Node*> pinned_;
};

}  // namespace penstock
