// SPDX-License-Identifier: Apache-2.0
#include "block/graph/planned_edges.h"

#include <algorithm>

namespace penstock {

void PlannedEdges::add(const std::vector<EdgeChange>& changes) {
  for (const EdgeChange& change : changes) {
    const auto known = std::find_if(moves_.begin(), moves_.end(),
                                    [&](const Move& move) { return move.edge == change.edge; });
    if (known != moves_.end()) {
      known->target = change.target;
    } else {
      moves_.push_back({change.edge, change.target});
    }
  }
}

Node* PlannedEdges::target_of(const Child& edge) const {
  for (const Move& move : moves_) {
    if (move.edge == &edge) return move.target;
  }
  return edge.node;
}

bool PlannedEdges::has_filter(const Node* filter) const {
  return std::find(filters_.begin(), filters_.end(), filter) != filters_.end();
}

std::vector<Child*> PlannedEdges::users_of(const Node& node) const {
  std::vector<Child*> result;
  for (Child* edge : node.parents) {
    if (target_of(*edge) == &node) result.push_back(edge);
  }
  for (const Move& move : moves_) {
    if (move.target == &node && move.edge->node != &node) result.push_back(move.edge);
  }
  return result;
}

}  // namespace penstock
