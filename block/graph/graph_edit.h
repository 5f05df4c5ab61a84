// SPDX-License-Identifier: Apache-2.0
// The committing half of graph changes: edges, lists. Nothing here waits or fails.
//
// Ownership: borrows the graph for one slice of the control thread.
// Threads: the control thread, inside a slice that never yields.
// Errors: none.
// Invariants: finish() is called last; then drained sections follow the new edges.
#pragma once

#include <memory>

#include "base/thread_roles.h"
#include "block/backend/backend.h"
#include "block/graph/graph.h"
#include "block/node/node.h"

namespace penstock {

class GraphEdit {
 public:
  explicit GraphEdit(Graph& graph) : graph_(graph) {}

  // Points the edge to `target`, or to nothing. REQUIRES: its parent is drained and idle.
  void redirect(Child& edge, Node* target) noexcept GLOBAL_STATE_CODE;
  // The node can be found by its name from now on.
  void publish(std::unique_ptr<Node> node) noexcept GLOBAL_STATE_CODE;
  // The reverse. nullptr if it was never published.
  std::unique_ptr<Node> withdraw(Node& node) noexcept GLOBAL_STATE_CODE;
  void add_backend(Backend& backend) noexcept GLOBAL_STATE_CODE;
  void remove_backend(Backend& backend) noexcept GLOBAL_STATE_CODE;
  void finish() noexcept GLOBAL_STATE_CODE;

  // A made-up name for a node that has none, unique in this graph's life.
  std::string make_up_name() GLOBAL_STATE_CODE;

 private:
  Graph& graph_;
};

}  // namespace penstock
