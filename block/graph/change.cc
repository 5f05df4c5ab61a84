// SPDX-License-Identifier: Apache-2.0
#include "block/graph/change.h"

#include <cerrno>
#include <optional>
#include <utility>

#include "base/status.h"
#include "base/sync_point.h"
#include "block/graph/pins.h"
#include "iothreads/aio_context.h"
#include "iothreads/thread_mutex.h"

namespace penstock {
namespace {

constexpr int kMaxAttempts = 16;

using Changes = std::span<const std::unique_ptr<GraphChange>>;

void pin_plan(const ChangePlan& plan, Pins& pins) GLOBAL_STATE_CODE;
void pin_plan(const ChangePlan& plan, Pins& pins) {
  for (const EdgeChange& change : plan.edges) {
    pins.add(change.target);
    pins.add(change.edge->node);
    pins.add(change.edge->parent);
  }
  for (const Node* node : plan.recomputed) pins.add(node);
  for (const Node* node : plan.drained_nodes) pins.add(node);
}

absl::Status compute(Changes changes, PermissionUpdate& update) GLOBAL_STATE_CODE;
absl::Status compute(Changes changes, PermissionUpdate& update) {
  std::vector<EdgeChange> edges;
  std::vector<Node*> recomputed;
  for (const auto& change : changes) {
    const ChangePlan& plan = change->plan();
    edges.insert(edges.end(), plan.edges.begin(), plan.edges.end());
    recomputed.insert(recomputed.end(), plan.recomputed.begin(), plan.recomputed.end());
  }
  return update.compute(edges, recomputed);
}

bool all_fit(const Graph& graph, Changes changes) GLOBAL_STATE_CODE;
bool all_fit(const Graph& graph, Changes changes) {
  for (const auto& change : changes) {
    if (!change->still_fits(graph)) return false;
  }
  return true;
}

// The slice. False if what was prepared no longer fits; then nothing has changed.
bool verify_and_commit(Graph& graph, Changes changes, const DrainedSection& section,
                       PermissionUpdate& prepared) GLOBAL_STATE_CODE;
bool verify_and_commit(Graph& graph, Changes changes, const DrainedSection& section,
                       PermissionUpdate& prepared) {
  ThreadLock slice(graph.changes().slice);
  if (!section.nodes_idle() || !all_fit(graph, changes)) return false;
  PermissionUpdate again(graph);
  if (!compute(changes, again).ok() || !again.same_as(prepared)) return false;
  for (const Node* node : again.narrowed_parents()) {
    if (!section.covers(*node)) return false;
  }

  prepared.commit();
  GraphEdit edit(graph);
  for (const auto& change : changes) {
    for (const EdgeChange& edge : change->plan().edges) edit.redirect(*edge.edge, edge.target);
  }
  for (const auto& change : changes) change->commit(edit);
  edit.finish();
  return true;
}

// One attempt; nothing if it came too late.
std::optional<absl::Status> co_attempt(Graph& graph, Changes changes,
                                       Nanoseconds limit) CONTROL_COROUTINE_CODE;
std::optional<absl::Status> co_attempt(Graph& graph, Changes changes, Nanoseconds limit) {
  Pins pins(graph);
  for (const auto& change : changes) {
    if (absl::Status status = change->co_prepare(graph); !status.ok()) return status;
    pin_plan(change->plan(), pins);
  }

  PermissionUpdate update(graph);
  absl::Status status;
  const Nanoseconds deadline = AioContext::current()->now() + limit;
  const bool claimable = co_wait_released(graph.changes(), deadline, [&] {
    assert_control_thread();
    status = compute(changes, update);
    return !status.ok() || update.claimable();
  });
  if (!status.ok()) return status;
  if (!claimable) {
    return errno_message(ETIMEDOUT,
                         "The graph was not changed: another command is still changing the same "
                         "nodes. Try again when it has ended.");
  }
  status = update.co_prepare(PermissionUpdate::OnFailure::kRollBack);
  if (!status.ok()) return status;

  std::vector<Node*> nodes = update.narrowed_parents();
  std::vector<Backend*> backends;
  for (const auto& change : changes) {
    const ChangePlan& plan = change->plan();
    nodes.insert(nodes.end(), plan.drained_nodes.begin(), plan.drained_nodes.end());
    backends.insert(backends.end(), plan.drained_backends.begin(), plan.drained_backends.end());
  }
  DrainedSection section(graph);
  PENSTOCK_SYNC_POINT("change:prepared");
  status = section.co_begin_set(std::move(nodes), std::move(backends), limit);
  if (!status.ok()) {
    update.roll_back();
    return status;
  }
  const bool committed = verify_and_commit(graph, changes, section, update);
  if (!committed) update.roll_back();
  section.end();
  if (!committed) return std::nullopt;
  return absl::OkStatus();
}

}  // namespace

absl::Status co_run_changes(Graph& graph, Changes changes, Nanoseconds limit) {
  for (int attempt = 0; attempt < kMaxAttempts; ++attempt) {
    std::optional<absl::Status> status = co_attempt(graph, changes, limit);
    if (!status) continue;
    if (status->ok()) {
      for (const auto& change : changes) change->co_clean_up(graph);
    }
    return *status;
  }
  return errno_message(EAGAIN, "The graph was not changed: other commands changed the same nodes " +
                                   std::to_string(kMaxAttempts) +
                                   " times in between. Try again when they have ended.");
}

absl::Status co_run_change(Graph& graph, std::unique_ptr<GraphChange> change, Nanoseconds limit) {
  return co_run_changes(graph, {&change, 1}, limit);
}

}  // namespace penstock
