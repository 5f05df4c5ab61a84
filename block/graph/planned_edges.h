// SPDX-License-Identifier: Apache-2.0
// Edges as they will be once the changes so far in a transaction are made.
//
// Ownership: a value; it borrows edges and nodes, which are pinned.
// Threads: the control thread.
// Errors: none.
// Invariants: of several changes to one edge the last one counts.
#pragma once

#include <vector>

#include "base/thread_roles.h"
#include "block/graph/permission_update.h"
#include "block/node/child.h"
#include "block/node/node.h"

namespace penstock {

class PlannedEdges {
 public:
  void add(const std::vector<EdgeChange>& changes);
  // A filter that has got its users.
  void add_filter(const Node* filter) { filters_.push_back(filter); }

  // nullptr: the edge goes away.
  Node* target_of(const Child& edge) const;
  std::vector<Child*> users_of(const Node& node) const GLOBAL_STATE_CODE;
  bool has_filter(const Node* filter) const;

 private:
  struct Move {
    Child* edge;
    Node* target;
  };
  std::vector<Move> moves_;  // each edge once
  std::vector<const Node*> filters_;
};

}  // namespace penstock
