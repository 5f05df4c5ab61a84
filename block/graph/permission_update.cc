// SPDX-License-Identifier: Apache-2.0
#include "block/graph/permission_update.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "base/status.h"
#include "block/graph/drain.h"
#include "block/graph/graph.h"
#include "block/graph/nesting.h"
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

void PermissionUpdate::note_edge(const EdgeChange& change, std::vector<Node*>& roots) {
  Child* const edge = change.edge;
  const auto [known, is_new] = targets_.emplace(edge, change.target);
  if (!is_new) {
    std::erase(arrivals_[known->second], edge);
    known->second = change.target;
  }
  if (change.target != nullptr) {
    arrivals_[change.target].push_back(edge);
    roots.push_back(change.target);
  }
  if (edge->node != nullptr) roots.push_back(edge->node);
  if (change.permissions) edges_[edge] = *change.permissions;
  if (!is_new || edge->parent == nullptr) return;
  const auto& children = edge->parent->children;
  const bool there = std::any_of(children.begin(), children.end(),
                                 [&](const auto& child) { return child.get() == edge; });
  if (!there) additions_[edge->parent].push_back(edge);
}

absl::Status PermissionUpdate::compute(std::span<const EdgeChange> changes,
                                       std::span<Node* const> recomputed,
                                       std::span<const NodeReopening> reopened) {
  targets_.clear();
  arrivals_.clear();
  additions_.clear();
  reopened_.clear();
  edges_.clear();
  nodes_.clear();

  std::vector<Node*> roots(recomputed.begin(), recomputed.end());
  for (const NodeReopening& each : reopened) {
    reopened_[each.node] = each;
    roots.push_back(each.node);
  }
  for (const EdgeChange& change : changes) note_edge(change, roots);
  absl::StatusOr<std::vector<Node*>> order = parents_first(roots);
  if (!order.ok()) return order.status();
  if (absl::Status status = check_nesting(); !status.ok()) return status;

  for (Node* node : *order) {
    const std::vector<Child*> users = parents_of(*node);
    if (absl::Status status = check_users(*node, users); !status.ok()) return status;
    Permissions together = kNoUsers;
    for (const Child* user : users) together = combine(together, permissions_of(*user));
    const Driver* driver = driver_of(*node);
    if (driver == nullptr) continue;
    // A driver that comes anew has prepared nothing yet.
    const bool is_new = driver != node->driver.get();
    if (is_new || together != current_permissions(*node)) nodes_[node] = together;
    for (Child* child : children_of(*node)) {
      if (target_of(*child) == nullptr) continue;
      edges_[child] = driver->child_permissions(*child, together);
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
    std::vector<Child*> children;
    size_t next_child = 0;
  };
  std::map<const Node*, Mark> marks;
  std::vector<Node*> left;
  std::vector<Visit> path;
  for (Node* root : roots) {
    if (marks.emplace(root, Mark::kOnPath).second) path.push_back({root, children_of(*root)});
    while (!path.empty()) {
      Visit& visit = path.back();
      if (visit.next_child == visit.children.size()) {
        marks[visit.node] = Mark::kDone;
        left.push_back(visit.node);
        path.pop_back();
        continue;
      }
      Child& edge = *visit.children[visit.next_child++];
      Node* child = target_of(edge);
      if (child == nullptr) continue;
      const auto [mark, is_new] = marks.emplace(child, Mark::kOnPath);
      if (is_new) {
        path.push_back({child, children_of(*child)});
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

// What gets longer are the paths through a changed edge: from all that stands above it.
absl::Status PermissionUpdate::check_nesting() const {
  std::vector<Node*> reached;
  std::set<const Node*> known;
  const auto reach = [&](Node* node) {
    if (node != nullptr && known.insert(node).second) reached.push_back(node);
  };
  for (const auto& [edge, target] : targets_) {
    if (target != nullptr) reach(edge->parent);
  }
  // It grows while it is walked.
  for (size_t i = 0; i < reached.size(); ++i) {
    for (const Child* user : parents_of(*reached[i])) reach(user->parent);
  }
  absl::StatusOr<std::vector<Node*>> order = parents_first(reached);
  if (!order.ok()) return order.status();
  std::map<const Node*, size_t> nesting;
  for (const Node* node : *order) {
    for (Child* edge : children_of(*node)) {
      const Node* const child = target_of(*edge);
      if (child == nullptr) continue;
      const size_t level = nesting[node] + (edge->role == ChildRole::kBacking ? 0 : 1);
      if (level > kMaxNesting) {
        return errno_message(EINVAL, "Node " + quoted_name(*child) + " cannot stand below node " +
                                         quoted_name(*node) + ": more than " +
                                         std::to_string(kMaxNesting) +
                                         " nodes would stand above each other.");
      }
      nesting[child] = std::max(nesting[child], level);
    }
  }
  return absl::OkStatus();
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
    const auto reopened = reopened_.find(&node);
    const bool read_only =
        reopened == reopened_.end() ? node.read_only : reopened->second.read_only;
    if (read_only && !node.read_only && written != 0) {
      return errno_message(
          EBUSY, "Node " + quoted_name(node) + " cannot become read-only: " + user_name(*user) +
                     " uses it for " + permission_names(written) + ". Remove that user first.");
    }
    if (read_only && written != 0) {
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
    Driver* const driver = driver_of(*node);
    absl::Status status = driver->co_prepare_permissions(permissions);
    if (status.ok()) {
      prepared_.push_back(driver);
    } else if (on_failure == OnFailure::kRollBack) {
      roll_back();
      return annotate(status,
                      "node " + quoted_name(*node) + " cannot take the permissions that it needs");
    }
  }
  return absl::OkStatus();
}

void PermissionUpdate::commit(const DrainedSection& drained) noexcept {
  for (const auto& [edge, permissions] : edges_) {
    Permission taken = permissions.taken;
    if (edge->parent != nullptr && !drained.covers(*edge->parent)) {
      taken |= edge->permissions().taken;
    }
    edge->taken.store(taken, std::memory_order_relaxed);
    edge->shared.store(permissions.shared, std::memory_order_relaxed);
  }
  for (Driver* driver : prepared_) driver->commit_permissions();
  release_claims();
}

void PermissionUpdate::roll_back() noexcept {
  for (auto driver = prepared_.rbegin(); driver != prepared_.rend(); ++driver) {
    (*driver)->roll_back_permissions();
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

std::vector<Child*> PermissionUpdate::children_of(const Node& node) const {
  std::vector<Child*> result;
  for (const auto& child : node.children) result.push_back(child.get());
  const auto added = additions_.find(&node);
  if (added != additions_.end()) {
    result.insert(result.end(), added->second.begin(), added->second.end());
  }
  return result;
}

Driver* PermissionUpdate::driver_of(const Node& node) const {
  const auto reopened = reopened_.find(&node);
  if (reopened != reopened_.end() && reopened->second.driver != nullptr) {
    return reopened->second.driver;
  }
  return node.driver.get();
}

Permissions PermissionUpdate::permissions_of(const Child& edge) const {
  const auto found = edges_.find(const_cast<Child*>(&edge));
  return found == edges_.end() ? edge.permissions() : found->second;
}

}  // namespace penstock
