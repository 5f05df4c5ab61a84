// SPDX-License-Identifier: Apache-2.0
// One child of a node becomes another node: a reopening in which nothing else changes, so that the
// driver has its say and sizes follow.
//
// Ownership: borrows names.
// Threads: the control thread.
// Errors: ENOENT, and those of reopening: EINVAL where the driver has read what belongs to the old
//   child.
// Invariants: see change.h.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "block/graph/change.h"

namespace penstock {

class ReplaceChild final : public GraphChange {
 public:
  ReplaceChild(std::string parent, std::string child, std::string target)
      : parent_name_(std::move(parent)),
        child_name_(std::move(child)),
        target_name_(std::move(target)) {}

  absl::Status co_prepare(Graph& graph) override CONTROL_COROUTINE_CODE;
  absl::Status co_drained(Graph& graph, const DrainedSection& own) override CONTROL_COROUTINE_CODE;
  bool still_fits(const Graph& graph) const override GLOBAL_STATE_CODE;
  void commit(GraphEdit& edit) noexcept override GLOBAL_STATE_CODE;
  void co_clean_up(Graph& graph) override CONTROL_COROUTINE_CODE;

 private:
  const std::string parent_name_;
  const std::string child_name_;
  const std::string target_name_;
  std::unique_ptr<GraphChange> reopening_;
};

}  // namespace penstock
