// SPDX-License-Identifier: Apache-2.0
#include "block/graph/change.h"

#include <algorithm>
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
    pins.add(change.edge->backend);
  }
  for (const Node* node : plan.recomputed) pins.add(node);
  for (const Node* node : plan.drained_nodes) pins.add(node);
  for (const NodeReopening& reopening : plan.reopened) pins.add(reopening.node);
}

// What the plan would change and what is going away: a node that is being closed, a backend that is
// being detached. Whoever does that looks at pins no more. nullptr if there is none.
const void* going_away(const ChangeState& state, const ChangePlan& plan,
                       const Pins& pins) GLOBAL_STATE_CODE;
const void* going_away(const ChangeState& state, const ChangePlan& plan, const Pins& pins) {
  std::vector<const Node*> nodes(plan.recomputed.begin(), plan.recomputed.end());
  nodes.insert(nodes.end(), plan.drained_nodes.begin(), plan.drained_nodes.end());
  for (const EdgeChange& change : plan.edges) {
    nodes.push_back(change.edge->parent);
    const Backend* const backend = change.edge->backend;
    if (backend != plan.detached && state.detaching.count(backend) != 0) return backend;
  }
  for (const Node* node : nodes) {
    if (state.closing.count(node) == 0 || pins.has(node)) continue;
    // Pinned before its close began, which therefore waits.
    const bool is_reopened =
        std::any_of(plan.reopened.begin(), plan.reopened.end(),
                    [&](const NodeReopening& reopening) { return reopening.node == node; });
    if (!is_reopened) return node;
  }
  return nullptr;
}

absl::Status compute(Changes changes, PermissionUpdate& update) GLOBAL_STATE_CODE;
absl::Status compute(Changes changes, PermissionUpdate& update) {
  std::vector<EdgeChange> edges;
  std::vector<Node*> recomputed;
  std::vector<NodeReopening> reopened;
  for (const auto& change : changes) {
    const ChangePlan& plan = change->plan();
    edges.insert(edges.end(), plan.edges.begin(), plan.edges.end());
    recomputed.insert(recomputed.end(), plan.recomputed.begin(), plan.recomputed.end());
    reopened.insert(reopened.end(), plan.reopened.begin(), plan.reopened.end());
  }
  return update.compute(edges, recomputed, reopened);
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

  prepared.commit(section);
  GraphEdit edit(graph);
  for (const auto& change : changes) {
    for (const EdgeChange& edge : change->plan().edges) edit.redirect(*edge.edge, edge.target);
  }
  for (const auto& change : changes) change->commit(edit);
  edit.finish();
  return true;
}

absl::Status co_use_drained(Graph& graph, Changes changes,
                            const DrainedSection& section) CONTROL_COROUTINE_CODE;
absl::Status co_use_drained(Graph& graph, Changes changes, const DrainedSection& section) {
  for (const auto& change : changes) {
    if (absl::Status status = change->co_drained(graph, section); !status.ok()) return status;
  }
  return absl::OkStatus();
}

// One attempt; nothing if it came too late, or if something must be gone first: `*gone_first`.
std::optional<absl::Status> co_attempt(Graph& graph, Changes changes, Nanoseconds limit,
                                       const void** gone_first) CONTROL_COROUTINE_CODE;
std::optional<absl::Status> co_attempt(Graph& graph, Changes changes, Nanoseconds limit,
                                       const void** gone_first) {
  Pins pins(graph);
  PlannedEdges planned;
  for (const auto& change : changes) {
    change->follow(planned);
    if (absl::Status status = change->co_prepare(graph); !status.ok()) return status;
    *gone_first = going_away(graph.changes(), change->plan(), pins);
    if (*gone_first != nullptr) return std::nullopt;
    pin_plan(change->plan(), pins);
    planned.add(change->plan().edges);
    if (change->plan().inserted != nullptr) planned.add_filter(change->plan().inserted);
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
    for (const NodeReopening& reopening : plan.reopened) nodes.push_back(reopening.node);
  }
  DrainedSection section(graph);
  PENSTOCK_SYNC_POINT("change:prepared");
  status = section.co_begin_set(std::move(nodes), std::move(backends), limit);
  if (!status.ok()) {
    update.roll_back();
    return status;
  }
  if (status = co_use_drained(graph, changes, section); !status.ok()) {
    update.roll_back();
    section.end();
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
    const void* gone_first = nullptr;
    std::optional<absl::Status> status = co_attempt(graph, changes, limit, &gone_first);
    if (!status) {
      // With all pins released, so that nobody waits for the other.
      ChangeState& state = graph.changes();
      co_wait_released(state, AioContext::current()->now() + limit, [&] {
        return state.closing.count(static_cast<const Node*>(gone_first)) == 0 &&
               state.detaching.count(static_cast<const Backend*>(gone_first)) == 0;
      });
      continue;
    }
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
