// SPDX-License-Identifier: Apache-2.0
#include "block/graph/redirect_users.h"

#include <algorithm>
#include <cerrno>

#include "base/status.h"

namespace penstock {

absl::StatusOr<Node*> RedirectUsers::child_of_filter(const Node& filter) const {
  const Child* edge = filter.find_child("file");
  Node* const below = edge == nullptr ? nullptr : earlier().target_of(*edge);
  if (!filter.driver->is_filter() || below == nullptr) {
    return errno_message(EINVAL, "Node '" + filter.name + "' (driver '" + filter.driver_name +
                                     "') is no filter. Only filters can be removed from between "
                                     "a node and its users.");
  }
  return below;
}

absl::Status RedirectUsers::co_prepare(Graph& graph) {
  plan_ = {};
  Node* from = graph.find(from_);
  if (from == nullptr && to_.empty()) {
    return errno_message(ENOENT, "There is no node called '" + from_ + "' to remove.");
  }
  Node* to = to_.empty() ? nullptr : graph.find(to_);
  if (from == nullptr || (to == nullptr && !to_.empty())) {
    return errno_message(ENOENT, "There is no node called '" + (from == nullptr ? from_ : to_) +
                                     "' any more. Its users stay where they are.");
  }
  if (to == nullptr) {
    absl::StatusOr<Node*> below = child_of_filter(*from);
    if (!below.ok()) return below.status();
    to = *below;
  }
  target_ = to->name;
  from_node_ = from;
  const Child* const below = to->driver->is_filter() ? to->find_child("file") : nullptr;
  filter_ = below != nullptr && earlier().target_of(*below) == from ? to : nullptr;
  plan_.inserted = filter_;
  for (Child* user : users(*from, *to)) {
    plan_.edges.push_back({user, to, std::nullopt});
    // Those that only come above `from` by an earlier change are not drained with it.
    if (user->parent != nullptr) plan_.drained_nodes.push_back(user->parent);
    if (user->backend != nullptr) plan_.drained_backends.push_back(user->backend);
  }
  plan_.drained_nodes.push_back(from);
  return absl::OkStatus();
}

bool RedirectUsers::still_fits(const Graph& graph) const {
  const Node* from = graph.find(from_);
  const Node* to = graph.find(target_);
  if (from == nullptr || to == nullptr) return false;
  if (to_.empty()) {
    const absl::StatusOr<Node*> below = child_of_filter(*from);
    if (!below.ok() || *below != to) return false;
  }
  const std::vector<Child*> now = users(*from, *to);
  if (now.size() != plan_.edges.size()) return false;
  for (size_t i = 0; i < now.size(); ++i) {
    if (now[i] != plan_.edges[i].edge) return false;
  }
  return true;
}

// Writes may have grown the node after the filter was opened; now nothing can.
void RedirectUsers::commit(GraphEdit& /*edit*/) noexcept {
  if (filter_ == nullptr) return;
  filter_->set_size(from_node_->size());
  filter_->options.awaits_users = false;
}

std::vector<Child*> RedirectUsers::users(const Node& from, const Node& to) const {
  std::vector<Child*> result;
  for (Child* user : earlier().users_of(from)) {
    if (user->parent == &to) continue;
    // Another filter that is to be inserted: it stays above `from`, and comes between by itself.
    const bool waits = user->parent != nullptr && user->parent->options.awaits_users;
    if (waits && !earlier().has_filter(user->parent)) continue;
    const bool apart = user->parent != nullptr &&
                       std::find(apart_.begin(), apart_.end(), user->parent->name) != apart_.end();
    if (!apart) result.push_back(user);
  }
  return result;
}

}  // namespace penstock
