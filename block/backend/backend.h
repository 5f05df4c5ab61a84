// SPDX-License-Identifier: Apache-2.0
// A user's handle on a node: an export, a job, a test.
//
// Ownership: whoever made it (Graph::co_attach_backend) owns it; it must be detached
//   (co_detach_backend) before it is destroyed. It keeps its node in the graph.
// Threads: the I/O side is BackendRequest (backend_request.h); everything else is global state.
// Errors: see Graph.
// Invariants: its requests enter its gate before they touch the node.
#pragma once

#include <functional>
#include <string>

#include "base/thread_roles.h"
#include "block/backend/backend_listener.h"
#include "block/backend/gate.h"
#include "block/backend/request_statistics.h"
#include "block/node/child.h"
#include "block/node/node.h"

namespace penstock {

class Backend {
 public:
  explicit Backend(std::string backend_name) : name(std::move(backend_name)) {
    root.backend = this;
  }
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;
  ~Backend();

  // Constant after construction.
  const std::string name;

  // The control thread's, changed while the gate is quiesced and idle; read by requests inside.
  Child root{"root", ChildRole::kRoot};
  // Called on the control thread when the size of the node has changed (block/graph/resize.h).
  std::function<void(uint64_t size)> on_resize;
  uint64_t told_size = 0;  // the size in bytes that its user knows; the control thread's

  // Set before the first request; nullptr: nobody listens.
  BackendListener* listener = nullptr;

  // Called on the control thread when its requests begin to be kept out, and when they may come in
  // again. Nests. Must not wait, and changes nothing in the graph.
  std::function<void(bool drained)> on_drain;

  Gate gate;
  RequestStatistics statistics;
};

}  // namespace penstock
