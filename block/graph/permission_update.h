// SPDX-License-Identifier: Apache-2.0
// The permissions of a graph as it will be after some edges have changed.
//
// What users take and share together is passed down in topological order, parents first, so that a
// node below a diamond is looked at once, when both its parents are known.
//
// Ownership: on the stack of a control command's coroutine; borrows edges and nodes.
// Threads: the control thread.
// Errors: EBUSY on a conflict, naming both users and the permissions; EINVAL for a loop, and
//   for nodes that stand too deep (nesting.h); EROFS for a writer of a read-only node; those of
//   drivers.
// Invariants: prepared drivers are claimed, so that no other update prepares them; every prepared
//   update is committed or rolled back. Edges whose parent is not drained keep what they have taken
//   and only get more.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "base/thread_roles.h"
#include "block/node/child.h"
#include "block/node/node.h"
#include "block/node/permission.h"
#include "iothreads/poller.h"

namespace penstock {

class DrainedSection;
class Graph;

struct EdgeChange {
  Child* edge = nullptr;
  Node* target = nullptr;  // nullptr: the edge goes away
  // For backends, and for parents without a driver yet; else the parent's driver decides.
  std::optional<Permissions> permissions;
};

// A node that is read-only or not, or has another driver, after the change.
struct NodeReopening {
  Node* node = nullptr;
  bool read_only = true;
  Driver* driver = nullptr;  // that takes the place of the node's; nullptr: it stays
};

class PermissionUpdate {
 public:
  explicit PermissionUpdate(Graph& graph) : graph_(graph) {}
  PermissionUpdate(const PermissionUpdate&) = delete;
  PermissionUpdate& operator=(const PermissionUpdate&) = delete;
  ~PermissionUpdate();  // aborts if prepared

  // Everything that follows from `changes`, and from looking at `recomputed` again. Of several
  // changes to one edge the last one counts.
  absl::Status compute(std::span<const EdgeChange> changes, std::span<Node* const> recomputed,
                       std::span<const NodeReopening> reopened = {}) GLOBAL_STATE_CODE;
  // Nodes that lose a permission on a child, to be drained before the commit.
  std::vector<Node*> narrowed_parents() const GLOBAL_STATE_CODE;
  // True if the drivers that need a preparation are free of other updates.
  bool claimable() const GLOBAL_STATE_CODE;

  enum class OnFailure {
    kRollBack,  // the update is rolled back and the error returned
    kSkip,      // that driver keeps the permissions that it has (it holds too much, not too little)
  };
  // Claims and prepares the drivers. REQUIRES: claimable() in this slice.
  absl::Status co_prepare(OnFailure on_failure) CONTROL_COROUTINE_CODE;
  // True if both lead to the same permissions.
  bool same_as(const PermissionUpdate& other) const {
    return edges_ == other.edges_ && nodes_ == other.nodes_;
  }

  // `drained`: what the change has drained. Elsewhere edges are widened only, since requests use
  // them.
  void commit(const DrainedSection& drained) noexcept GLOBAL_STATE_CODE;
  void roll_back() noexcept GLOBAL_STATE_CODE;

 private:
  Node* target_of(Child& edge) const;
  std::vector<Child*> parents_of(const Node& node) const;
  std::vector<Child*> children_of(const Node& node) const;
  Driver* driver_of(const Node& node) const;
  void note_edge(const EdgeChange& change, std::vector<Node*>& roots);
  absl::StatusOr<std::vector<Node*>> parents_first(const std::vector<Node*>& roots) const
      GLOBAL_STATE_CODE;
  absl::Status check_nesting() const GLOBAL_STATE_CODE;
  absl::Status check_users(const Node& node,
                           const std::vector<Child*>& users) const GLOBAL_STATE_CODE;
  Permissions permissions_of(const Child& edge) const;
  void release_claims() noexcept GLOBAL_STATE_CODE;

  Graph& graph_;
  std::map<const Child*, Node*> targets_;                 // changed edges
  std::map<const Node*, std::vector<Child*>> arrivals_;   // changed edges by their new target
  std::map<const Node*, std::vector<Child*>> additions_;  // changed edges that parents get anew
  std::map<const Node*, NodeReopening> reopened_;
  std::map<Child*, Permissions> edges_;  // what edges will have
  std::map<Node*, Permissions> nodes_;   // of drivers that need a preparation
  std::vector<Node*> claimed_;
  std::vector<Driver*> prepared_;
};

}  // namespace penstock
