// SPDX-License-Identifier: Apache-2.0
// An edge of the graph: who uses which node, for what, with which permissions.
//
// Ownership: the parent (a node or a backend) owns the edge; the graph owns the node.
// Threads: `node` and the permissions' narrowing change only while the parent is drained, on the
//   control thread; a request reads them while it is in flight in the parent. Permissions are
//   widened at any time.
// Errors: none.
// Invariants: `node->parents` lists exactly the edges that point to it.
#pragma once

#include <atomic>
#include <string>

#include "block/node/child_role.h"
#include "block/node/permission.h"

namespace penstock {

class Node;
class Backend;

struct Child {
  Child(std::string edge_name, ChildRole edge_role) : name(std::move(edge_name)), role(edge_role) {}
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  // Constant after construction.
  const std::string name;  // "file", "backing", "root"
  const ChildRole role;
  Node* parent = nullptr;      // nullptr for a backend's edge
  Backend* backend = nullptr;  // nullptr for a node's edge

  // Changed while the parent is drained.
  Node* node = nullptr;
  std::atomic<Permission> taken{0};
  std::atomic<Permission> shared{kAllPermissions};

  Permissions permissions() const {
    return {taken.load(std::memory_order_relaxed), shared.load(std::memory_order_relaxed)};
  }
};

}  // namespace penstock
