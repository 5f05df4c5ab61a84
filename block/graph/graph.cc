// SPDX-License-Identifier: Apache-2.0
#include "block/graph/graph.h"

#include <cstdio>
#include <cstdlib>

#include "iothreads/aio_context.h"

namespace penstock {

Graph::Graph(const DriverRegistry& drivers, HostServices& host, ImageNames* names)
    : drivers_(drivers), host_(host), names_(names) {}

Graph::~Graph() {
  if (!nodes_.empty() || !backends_.empty()) {
    std::fprintf(stderr, "penstock: a graph was destroyed with %zu nodes and %zu backends in it\n",
                 nodes_.size(), backends_.size());
    std::abort();
  }
}

Node* Graph::find(const std::string& node_name) const {
  const auto found = nodes_.find(node_name);
  return found == nodes_.end() ? nullptr : found->second.get();
}

std::vector<Node*> Graph::nodes() const {
  std::vector<Node*> result;
  result.reserve(nodes_.size());
  for (const auto& [name, node] : nodes_) result.push_back(node.get());
  return result;
}

bool co_wait_released(ChangeState& state, Nanoseconds deadline,
                      const std::function<bool()>& condition) {
  while (true) {
    state.released.reset();
    if (condition()) return true;
    if (!state.released.co_wait_until(deadline)) return condition();
  }
}

}  // namespace penstock
