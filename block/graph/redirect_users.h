// SPDX-License-Identifier: Apache-2.0
// Moves all users of one node to another, in one change: filters come and go by it.
//
// Ownership: borrows names.
// Threads: the control thread.
// Errors: ENOENT, and those of any change of edges; EINVAL if a filter is to go that is none.
// Invariants: an edge of the target itself stays (a filter above the node keeps its child).
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "block/graph/change.h"

namespace penstock {

class RedirectUsers final : public GraphChange {
 public:
  // `apart`: nodes whose edges stay too; in a transaction those that later changes put in.
  RedirectUsers(std::string from, std::string to, std::vector<std::string> apart = {})
      : from_(std::move(from)), to_(std::move(to)), apart_(std::move(apart)) {}
  // From a filter to its own child.
  static std::unique_ptr<RedirectUsers> past_filter(std::string filter) {
    return std::make_unique<RedirectUsers>(std::move(filter), "");
  }

  absl::Status co_prepare(Graph& graph) override CONTROL_COROUTINE_CODE;
  bool still_fits(const Graph& graph) const override GLOBAL_STATE_CODE;
  void commit(GraphEdit& edit) noexcept override GLOBAL_STATE_CODE;

 private:
  std::vector<Child*> users(const Node& from, const Node& to) const GLOBAL_STATE_CODE;
  absl::StatusOr<Node*> child_of_filter(const Node& filter) const GLOBAL_STATE_CODE;

  const std::string from_;
  const std::string to_;  // empty: the child of the filter `from_`
  const std::vector<std::string> apart_;
  std::string target_;
  const Node* from_node_ = nullptr;
  Node* filter_ = nullptr;  // the target, if it is a filter above `from`
};

}  // namespace penstock
