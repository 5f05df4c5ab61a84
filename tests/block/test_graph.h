// SPDX-License-Identifier: Apache-2.0
// Nodes, edges and backends put together by hand, for tests of the request path without a Graph.
//
// Ownership: owns all of them. Declare it before the threads that run requests on it, so that
//   these are gone when it goes.
// Threads: built on one thread, before requests run.
// Errors: none.
// Invariants: none.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "block/backend/backend.h"
#include "block/node/node.h"

namespace penstock {

class TestGraph {
 public:
  TestGraph() = default;
  TestGraph(const TestGraph&) = delete;
  TestGraph& operator=(const TestGraph&) = delete;
  ~TestGraph() {
    for (const auto& backend : backends_) backend->root.node = nullptr;
  }

  Node& add_node(const std::string& name, std::unique_ptr<Driver> driver, uint64_t size,
                 Limits limits = {}) {
    auto node = std::make_unique<Node>(name, true, "test");
    node->driver = std::move(driver);
    node->limits = limits;
    node->read_only = false;
    node->set_size(size);
    return *nodes_.emplace_back(std::move(node));
  }

  Child& add_child(Node& parent, const std::string& name, ChildRole role, Node& node,
                   Permission taken = kAllPermissions) {
    auto child = std::make_unique<Child>(name, role);
    child->parent = &parent;
    child->node = &node;
    child->taken = taken;
    node.parents.push_back(child.get());
    return *parent.children.emplace_back(std::move(child));
  }

  Backend& add_backend(Node& node, Permission taken = kAllPermissions) {
    auto backend = std::make_unique<Backend>("backend-of-" + node.name);
    backend->root.node = &node;
    backend->root.taken = taken;
    node.parents.push_back(&backend->root);
    return *backends_.emplace_back(std::move(backend));
  }

 private:
  std::vector<std::unique_ptr<Node>> nodes_;
  std::vector<std::unique_ptr<Backend>> backends_;
};

}  // namespace penstock
