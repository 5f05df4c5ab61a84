// SPDX-License-Identifier: Apache-2.0
// Changes of the graph as transactions: prepare, drain, one slice, undrain, clean up.
//
// Prepare may wait and only adds. Then the affected nodes are drained. Then, in one slice of the
// control thread that never yields, everything is looked at again and committed, which cannot fail.
// If the second look differs from the first, the drain ends and all is prepared anew.
//
// Ownership: the caller owns the changes; they borrow nodes, which are pinned from co_prepare() to
//   the end.
// Threads: the control thread.
// Errors: those of the changes and of PermissionUpdate; ETIMEDOUT from the drain; EAGAIN if other
//   commands came in between too often. Then nothing has changed.
// Invariants: several changes are committed together or not at all, and judged by the graph that
//   they lead to together. No two commits interleave.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "base/thread_roles.h"
#include "block/backend/backend.h"
#include "block/graph/drain.h"
#include "block/graph/graph.h"
#include "block/graph/graph_edit.h"
#include "block/graph/permission_update.h"
#include "block/graph/planned_edges.h"

namespace penstock {

// What a change wants to do, as of the last time it was prepared.
struct ChangePlan {
  std::vector<EdgeChange> edges;           // in this order
  std::vector<Node*> recomputed;           // whose children's permissions are looked at again
  std::vector<Node*> drained_nodes;        // beside the parents that lose permissions
  std::vector<Backend*> drained_backends;  // whose own edge changes
  const Backend* detached = nullptr;       // goes with the change
  const Node* inserted = nullptr;          // a filter that gets its users
  std::vector<NodeReopening> reopened;     // to be drained too
};

class GraphChange {
 public:
  virtual ~GraphChange() = default;

  // Fills the plan, looking names up after the last wait. Called again for a new attempt.
  virtual absl::Status co_prepare(Graph& graph) CONTROL_COROUTINE_CODE = 0;
  // Drained and idle, before the slice: I/O of its own, counted in the nodes, that no request may
  // come between. A failure takes everything back.
  virtual absl::Status co_drained(Graph& /*graph*/,
                                  const DrainedSection& /*own*/) CONTROL_COROUTINE_CODE {
    return absl::OkStatus();
  }
  // In the slice: false if the plan no longer fits the graph.
  virtual bool still_fits(const Graph& /*graph*/) const GLOBAL_STATE_CODE { return true; }
  // In the slice, after the edges: the rest.
  virtual void commit(GraphEdit& /*edit*/) noexcept GLOBAL_STATE_CODE {}
  // After a commit, undrained again.
  virtual void co_clean_up(Graph& /*graph*/) CONTROL_COROUTINE_CODE {}

  const ChangePlan& plan() const { return plan_; }
  // Before co_prepare(): what the changes before it have planned.
  void follow(const PlannedEdges& earlier) { earlier_ = earlier; }

 protected:
  const PlannedEdges& earlier() const { return earlier_; }

  ChangePlan plan_;

 private:
  PlannedEdges earlier_;
};

absl::Status co_run_changes(Graph& graph, std::span<const std::unique_ptr<GraphChange>> changes,
                            Nanoseconds limit = kDefaultDrainLimit) CONTROL_COROUTINE_CODE;

// The same for one.
absl::Status co_run_change(Graph& graph, std::unique_ptr<GraphChange> change,
                           Nanoseconds limit = kDefaultDrainLimit) CONTROL_COROUTINE_CODE;

}  // namespace penstock
