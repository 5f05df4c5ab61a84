// SPDX-License-Identifier: Apache-2.0
// A new edge of a node that is not in the graph by name yet.
//
// Ownership: borrows the edge.
// Threads: the control thread.
// Errors: EBUSY, EINVAL, EROFS as for any edge.
// Invariants: before its driver is loaded, a parent may read and lets others do everything.
#pragma once

#include "block/graph/change.h"

namespace penstock {

class AttachChild final : public GraphChange {
 public:
  // `target_name`: looked up when prepared; or a node that is not in the graph either.
  AttachChild(Child& edge, std::string target_name)
      : edge_(edge), target_name_(std::move(target_name)) {}
  AttachChild(Child& edge, Node& target) : edge_(edge), target_(&target) {}

  absl::Status co_prepare(Graph& graph) override CONTROL_COROUTINE_CODE;

 private:
  Child& edge_;
  const std::string target_name_;
  Node* const target_ = nullptr;
};

}  // namespace penstock
