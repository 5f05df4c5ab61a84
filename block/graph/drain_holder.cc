// SPDX-License-Identifier: Apache-2.0
#include "block/graph/drain_holder.h"

#include <cstdint>

#include "block/graph/graph.h"
#include "iothreads/coroutine.h"

namespace penstock {
namespace {

struct Holder {
  const void* gate = nullptr;
  const void* node = nullptr;
  const char* operation = nullptr;
  uint64_t offset = 0;
  uint64_t length = 0;
};

// A counter that is not idle, for the case that no tag tells more.
std::string describe_counters(const std::vector<Backend*>& gates, const std::vector<Node*>& nodes) {
  for (Backend* backend : gates) {
    const uint64_t inside = backend->gate.counters().in_flight();
    if (inside != 0) {
      return std::to_string(inside) + " requests of backend '" + backend->name +
             "' have not ended.";
    }
  }
  for (const Node* node : nodes) {
    const uint64_t inside = node->counters.in_flight();
    if (inside != 0) {
      return std::to_string(inside) + " requests in node '" + node->name + "' have not ended.";
    }
  }
  return "the last request has ended just now.";
}

}  // namespace

std::string describe_holder(const Graph& graph, const std::vector<Backend*>& gates,
                            const std::vector<Node*>& nodes) {
  std::vector<const void*> identities;
  for (const Backend* backend : gates) {
    identities.push_back(&backend->gate);
    identities.push_back(backend);
  }
  for (const Node* node : nodes) identities.push_back(node);

  Holder holder;
  Coroutine::for_each([&](Coroutine& coroutine) {
    if (holder.operation != nullptr) return;
    const RequestTag& tag = coroutine.tag();
    const void* gate = tag.gate.load(std::memory_order_relaxed);
    for (const void* identity : identities) {
      if (gate != identity) continue;
      holder = {gate, tag.node.load(std::memory_order_relaxed),
                tag.operation.load(std::memory_order_relaxed),
                tag.offset.load(std::memory_order_relaxed),
                tag.length.load(std::memory_order_relaxed)};
    }
  });
  if (holder.operation == nullptr) return describe_counters(gates, nodes);

  std::string text = std::string("the request '") + holder.operation + "' at offset " +
                     std::to_string(holder.offset) + ", length " + std::to_string(holder.length);
  std::vector<const Node*> known(nodes.begin(), nodes.end());
  for (const Node* node : graph.nodes()) known.push_back(node);
  for (const Node* node : known) {
    if (node != holder.node) continue;
    text += ", in node '" + node->name + "'";
    break;
  }
  for (const Backend* backend : gates) {
    if (holder.gate == backend || holder.gate == &backend->gate) {
      text += ", of backend '" + backend->name + "'";
    }
  }
  return text + " has not ended.";
}

}  // namespace penstock
