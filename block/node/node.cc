// SPDX-License-Identifier: Apache-2.0
#include "block/node/node.h"

#include <string_view>
#include <utility>

namespace penstock {

Node::Node(std::string node_name, bool named_by_user, std::string_view driver_type_name)
    : name(std::move(node_name)), user_named(named_by_user), driver_name(driver_type_name) {}

Node::~Node() = default;

Child* Node::find_child(std::string_view child_name) const {
  for (const auto& child : children) {
    if (child->name == child_name) return child.get();
  }
  return nullptr;
}

void Node::grow_size_to(uint64_t size) {
  uint64_t seen = size_.load(std::memory_order_relaxed);
  // Release on success: whoever sees the larger size sees the data that came first.
  while (seen < size && !size_.compare_exchange_weak(seen, size, std::memory_order_release,
                                                     std::memory_order_relaxed)) {
  }
}

}  // namespace penstock
