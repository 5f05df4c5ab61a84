// SPDX-License-Identifier: Apache-2.0
#include "block/graph/permission_update.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "base/status.h"
#include "block/graph/graph.h"
#include "block/graph/topology.h"

namespace penstock {
namespace {

constexpr Permissions kNoUsers{0, kAllPermissions};

Permissions current_permissions(const Node& node) {
  Permissions result = kNoUsers;
  for (const Child* edge : node.parents) result = combine(result, edge->permissions());
  return result;
}

}  // namespace

PermissionUpdate::~PermissionUpdate() {
  if (!claimed_.empty()) {
    std::fprintf(stderr, "penstock: a prepared permission change was dropped\n");
    std::abort();
  }
}

absl::Status PermissionUpdate::compute(std::span<const EdgeChange> changes,
                                       std::span<Node* const> recomputed) {
  targets_.clear();
  arrivals_.clear();
  edges_.clear();
  nodes_.clear();

  std::vector<Node*> roots(recomputed.begin(), recomputed.end());
  for (const EdgeChange& change : changes) {
    targets_[change.edge] = change.target;
    if (change.target != nullptr) {
      arrivals_[change.target].push_back(change.edge);
      roots.push_back(change.target);
    }
    if (change.edge->node != nullptr) roots.push_back(change.edge->node);
    if (change.permissions) edges_[change.edge] = *change.permissions;
  }
  absl::StatusOr<std::vector<Node*>> order = parents_first(roots);
  if (!order.ok()) return order.status();

  for (Node* node : *order) {
    const std::vector<Child*> users = parents_of(*node);
    if (absl::Status status = check_users(*node, users); !status.ok()) return status;
    Permissions together = kNoUsers;
    for (const Child* user : users) together = combine(together, permissions_of(*user));
    if (node->driver == nullptr) continue;
    if (together != current_permissions(*node)) nodes_[node] = together;
    for (const auto& child : node->children) {
      if (target_of(*child) == nullptr) continue;
      edges_[child.get()] = node->driver->child_permissions(*child, together);
    }
  }
  std::erase_if(edges_,
                [](const auto& entry) { return entry.first->permissions() == entry.second; });
  return absl::OkStatus();
}

// Depth first along the children of the graph to be; the reverse of the order of leaving.
absl::StatusOr<std::vector<Node*>> PermissionUpdate::parents_first(
    const std::vector<Node*>& roots) const {
  enum class Mark { kOnPath, kDone };
  struct Visit {
    Node* node;
    size_t next_child;
  };
  std::map<const Node*, Mark> marks;
  std::vector<Node*> left;
  std::vector<Visit> path;
  for (Node* root : roots) {
    if (marks.emplace(root, Mark::kOnPath).second) path.push_back({root, 0});
    while (!path.empty()) {
      Visit& visit = path.back();
      if (visit.next_child == visit.node->children.size()) {
        marks[visit.node] = Mark::kDone;
        left.push_back(visit.node);
        path.pop_back();
        continue;
      }
      Child& edge = *visit.node->children[visit.next_child++];
      Node* child = target_of(edge);
      if (child == nullptr) continue;
      const auto [mark, is_new] = marks.emplace(child, Mark::kOnPath);
      if (is_new) {
        path.push_back({child, 0});
      } else if (mark->second == Mark::kOnPath) {
        return errno_message(EINVAL, "Node '" + child->name + "' cannot become the '" + edge.name +
                                         "' of node '" + edge.parent->name +
                                         "': it uses that node itself, which would make a loop.");
      }
    }
  }
  std::reverse(left.begin(), left.end());
  return left;
}

absl::Status PermissionUpdate::check_users(const Node& node,
                                           const std::vector<Child*>& users) const {
  const bool closing = graph_.changes().closing.count(&node) != 0;
  Permission shared_by_all = kAllPermissions;
  for (const Child* user : users) shared_by_all &= permissions_of(*user).shared;
  for (const Child* user : users) {
    if (closing && user->node != &node) {
      return errno_message(EBUSY, "Node " + quoted_name(node) + " cannot be used by " +
                                      user_name(*user) + ": it is being closed.");
    }
    const Permission written = permissions_of(*user).taken & (kWrite | kResize);
    if (node.read_only && written != 0) {
      return errno_message(EROFS, "Node " + quoted_name(node) + " is read-only, but " +
                                      user_name(*user) + " asks for " + permission_names(written) +
                                      ". Open it writable, or ask for reading only.");
    }
    // Hundreds of readers may share a file: who asks for what all share needs no look at each.
    if ((permissions_of(*user).taken & ~shared_by_all) == 0) continue;
    for (const Child* other : users) {
      if (user == other) continue;
      const Permission refused = conflict_between(permissions_of(*other), permissions_of(*user));
      if (refused == 0) continue;
      return errno_message(EBUSY, "Node " + quoted_name(node) + " cannot be used for " +
                                      permission_names(refused) + " by " + user_name(*user) +
                                      " beside " + user_name(*other) +
                                      ", which does not share that. Remove one of the two first.");
    }
  }
  return absl::OkStatus();
}

std::vector<Node*> PermissionUpdate::narrowed_parents() const {
  std::vector<Node*> result;
  for (const auto& [edge, permissions] : edges_) {
    const bool narrowed = (edge->permissions().taken & ~permissions.taken) != 0;
    if (narrowed && edge->parent != nullptr) result.push_back(edge->parent);
  }
  return result;
}

bool PermissionUpdate::claimable() const {
  const std::set<const Node*>& claims = graph_.changes().claims;
  return std::none_of(nodes_.begin(), nodes_.end(),
                      [&](const auto& entry) { return claims.count(entry.first) != 0; });
}

absl::Status PermissionUpdate::co_prepare(OnFailure on_failure) {
  for (const auto& [node, permissions] : nodes_) {
    graph_.changes().claims.insert(node);
    claimed_.push_back(node);
  }
  for (const auto& [node, permissions] : nodes_) {
    absl::Status status = node->driver->co_prepare_permissions(permissions);
    if (status.ok()) {
      prepared_.push_back(node);
    } else if (on_failure == OnFailure::kRollBack) {
      roll_back();
      return annotate(status,
                      "node " + quoted_name(*node) + " cannot take the permissions that it needs");
    }
  }
  return absl::OkStatus();
}

void PermissionUpdate::commit() noexcept {
  for (const auto& [edge, permissions] : edges_) {
    Permission taken = permissions.taken;
    const bool drained =
        edge->parent == nullptr || graph_.changes().driver_drains.count(edge->parent) != 0;
    if (!drained) taken |= edge->permissions().taken;
    edge->taken.store(taken, std::memory_order_relaxed);
    edge->shared.store(permissions.shared, std::memory_order_relaxed);
  }
  for (Node* node : prepared_) node->driver->commit_permissions();
  release_claims();
}

void PermissionUpdate::roll_back() noexcept {
  for (auto node = prepared_.rbegin(); node != prepared_.rend(); ++node) {
    (*node)->driver->roll_back_permissions();
  }
  release_claims();
}

void PermissionUpdate::release_claims() noexcept {
  ChangeState& state = graph_.changes();
  for (const Node* node : claimed_) state.claims.erase(node);
  claimed_.clear();
  prepared_.clear();
  state.released.set();
}

Node* PermissionUpdate::target_of(Child& edge) const {
  const auto changed = targets_.find(&edge);
  return changed == targets_.end() ? edge.node : changed->second;
}

std::vector<Child*> PermissionUpdate::parents_of(const Node& node) const {
  std::vector<Child*> result;
  for (Child* edge : node.parents) {
    if (targets_.count(edge) == 0) result.push_back(edge);
  }
  const auto arrivals = arrivals_.find(&node);
  if (arrivals != arrivals_.end()) {
    result.insert(result.end(), arrivals->second.begin(), arrivals->second.end());
  }
  return result;
}

Permissions PermissionUpdate::permissions_of(const Child& edge) const {
  const auto found = edges_.find(const_cast<Child*>(&edge));
  return found == edges_.end() ? edge.permissions() : found->second;
}

}  // namespace penstock
