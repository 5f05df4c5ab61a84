// SPDX-License-Identifier: Apache-2.0
#include "block/graph/redirect_users.h"

#include <cerrno>

#include "base/status.h"

namespace penstock {

absl::Status RedirectUsers::co_prepare(Graph& graph) {
  plan_ = {};
  Node* from = graph.find(from_);
  Node* to = graph.find(to_);
  if (from == nullptr || to == nullptr) {
    return errno_message(ENOENT, "There is no node called '" + (from == nullptr ? from_ : to_) +
                                     "' any more. Its users stay where they are.");
  }
  for (Child* user : users(*from, *to)) plan_.edges.push_back({user, to, std::nullopt});
  plan_.drained_nodes.push_back(from);
  return absl::OkStatus();
}

bool RedirectUsers::still_fits(const Graph& graph) const {
  const Node* from = graph.find(from_);
  const Node* to = graph.find(to_);
  if (from == nullptr || to == nullptr) return false;
  const std::vector<Child*> now = users(*from, *to);
  if (now.size() != plan_.edges.size()) return false;
  for (size_t i = 0; i < now.size(); ++i) {
    if (now[i] != plan_.edges[i].edge) return false;
  }
  return true;
}

std::vector<Child*> RedirectUsers::users(const Node& from, const Node& to) const {
  std::vector<Child*> result;
  for (Child* user : from.parents) {
    if (user->parent != &to) result.push_back(user);
  }
  return result;
}

}  // namespace penstock
