// SPDX-License-Identifier: Apache-2.0
// Keeps nodes and backends from being freed while a change names them.
//
// Ownership: on the stack of a control command's coroutine.
// Threads: the control thread.
// Errors: none.
// Invariants: what was pinned before its close or its detaching began is not freed: that waits for
//   the pins to go. What is being closed or detached must not be pinned.
#pragma once

#include <algorithm>
#include <vector>

#include "base/thread_roles.h"
#include "block/backend/backend.h"
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
    release(state.pins, nodes_);
    release(state.backend_pins, backends_);
    state.released.set();
  }

  // nullptr is ignored.
  void add(const Node* node) GLOBAL_STATE_CODE {
    if (node == nullptr) return;
    ++graph_.changes().pins[node];
    nodes_.push_back(node);
  }
  void add(const Backend* backend) GLOBAL_STATE_CODE {
    if (backend == nullptr) return;
    ++graph_.changes().backend_pins[backend];
    backends_.push_back(backend);
  }
  bool has(const Node* node) const {
    return std::find(nodes_.begin(), nodes_.end(), node) != nodes_.end();
  }

 private:
  template <typename Counts, typename Pinned>
  static void release(Counts& counts, const Pinned& pinned) {
    for (const auto* each : pinned) {
      const auto count = counts.find(each);
      if (--count->second == 0) counts.erase(count);
    }
  }

  Graph& graph_;
  std::vector<const Node*> nodes_;
  std::vector<const Backend*> backends_;
};

}  // namespace penstock
