// SPDX-License-Identifier: Apache-2.0
// Moves all users of one node to another, in one change: filters come and go by it.
//
// Ownership: borrows names.
// Threads: the control thread.
// Errors: ENOENT, and those of any change of edges.
// Invariants: an edge of the target itself stays (a filter above the node keeps its child).
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "block/graph/change.h"

namespace penstock {

class RedirectUsers final : public GraphChange {
 public:
  RedirectUsers(std::string from, std::string to) : from_(std::move(from)), to_(std::move(to)) {}

  absl::Status co_prepare(Graph& graph) override CONTROL_COROUTINE_CODE;
  bool still_fits(const Graph& graph) const override GLOBAL_STATE_CODE;

 private:
  std::vector<Child*> users(const Node& from, const Node& to) const GLOBAL_STATE_CODE;

  const std::string from_;
  const std::string to_;
};

}  // namespace penstock
