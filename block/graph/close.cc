// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cerrno>
#include <memory>
#include <utility>

#include "base/status.h"
#include "block/graph/graph.h"
#include "block/graph/graph_edit.h"
#include "block/graph/node_in_flight.h"
#include "block/graph/permission_update.h"
#include "block/graph/retire.h"
#include "block/graph/topology.h"
#include "iothreads/aio_context.h"
#include "iothreads/control_thread.h"
#include "iothreads/thread_mutex.h"

namespace penstock {
namespace {

absl::Status in_use(const Node& node) GLOBAL_STATE_CODE;
absl::Status in_use(const Node& node) {
  return errno_message(EBUSY, "Node '" + node.name + "' cannot be closed: it is used by " +
                                  user_names(node) + ". Remove those first.");
}

// Marks a node, so that it gets no new users.
class Closing {
 public:
  Closing(ChangeState& state, const Node& node) : state_(state), node_(node) {
    state_.closing.insert(&node_);
  }
  Closing(const Closing&) = delete;
  Closing& operator=(const Closing&) = delete;
  ~Closing() {
    state_.closing.erase(&node_);
    state_.released.set();
  }

 private:
  ChangeState& state_;
  const Node& node_;
};

std::vector<EdgeChange> all_edges_go(const Node& node) {
  std::vector<EdgeChange> result;
  for (const auto& child : node.children) {
    if (child->node != nullptr) result.push_back({child.get(), nullptr, std::nullopt});
  }
  return result;
}

// What is below loses a user. Drivers that cannot give up what they hold keep it; that must not
// keep a node alive whose driver has ended.
void co_prepare_permissions(Graph& graph, const std::vector<EdgeChange>& edges,
                            PermissionUpdate& update) CONTROL_COROUTINE_CODE;
void co_prepare_permissions(Graph& graph, const std::vector<EdgeChange>& edges,
                            PermissionUpdate& update) {
  const Nanoseconds deadline = AioContext::current()->now() + kDefaultDrainLimit;
  const bool claimable = co_wait_released(graph.changes(), deadline, [&] {
    assert_control_thread();
    return !update.compute(edges, {}).ok() || update.claimable();
  });
  if (claimable) (void)update.co_prepare(PermissionUpdate::OnFailure::kSkip);
}

// The slice of a close. Edges that other commands changed meanwhile were prepared for in vain: the
// permissions are then left wider than they need be.
std::unique_ptr<Node> detach(Graph& graph, Node& node, const std::vector<EdgeChange>& edges,
                             PermissionUpdate& prepared, const DrainedSection& section,
                             std::vector<std::string>& orphans) GLOBAL_STATE_CODE;
std::unique_ptr<Node> detach(Graph& graph, Node& node, const std::vector<EdgeChange>& edges,
                             PermissionUpdate& prepared, const DrainedSection& section,
                             std::vector<std::string>& orphans) {
  ThreadLock slice(graph.changes().slice);
  PermissionUpdate again(graph);
  if (again.compute(edges, {}).ok() && again.same_as(prepared)) {
    prepared.commit(section);
  } else {
    prepared.roll_back();
  }
  GraphEdit edit(graph);
  for (const EdgeChange& change : edges) {
    const Node& child = *change.edge->node;
    edit.redirect(*change.edge, nullptr);
    if (child.parents.empty() && !child.user_named && graph.find(child.name) == &child) {
      orphans.push_back(child.name);
    }
  }
  std::unique_ptr<Node> withdrawn = edit.withdraw(node);
  edit.finish();
  return withdrawn;
}

// False if it takes too long.
bool co_wait_until_closed(Graph& graph, const std::string& name) CONTROL_COROUTINE_CODE;
bool co_wait_until_closed(Graph& graph, const std::string& name) {
  const Nanoseconds deadline = AioContext::current()->now() + kDefaultDrainLimit;
  return co_wait_released(graph.changes(), deadline, [&] {
    assert_control_thread();
    const Node* const node = graph.find(name);
    return node == nullptr || graph.changes().closing.count(node) == 0;
  });
}

}  // namespace

RetireResult co_retire(Graph& graph, Node& node, Nanoseconds limit) {
  RetireResult result;
  ChangeState& state = graph.changes();
  if (state.closing.count(&node) != 0) {
    result.refused = errno_message(
        EBUSY, "Node '" + node.name + "' is being closed by another command already.");
    return result;
  }
  Closing closing(state, node);
  const Nanoseconds deadline = AioContext::current()->now() + limit;
  const bool free = co_wait_released(state, deadline, [&] {
    return state.pins.count(&node) == 0 && state.claims.count(&node) == 0;
  });
  if (!node.parents.empty()) {
    result.refused = in_use(node);
    return result;
  }
  if (!free) {
    result.refused = errno_message(ETIMEDOUT, "Node '" + node.name +
                                                  "' was not closed: another command is changing "
                                                  "it. Try again when that has ended.");
    return result;
  }

  const std::vector<EdgeChange> edges = all_edges_go(node);
  PermissionUpdate update(graph);
  std::vector<Node*> drained{&node};
  if (update.compute(edges, {}).ok()) {
    const std::vector<Node*> narrowed = update.narrowed_parents();
    drained.insert(drained.end(), narrowed.begin(), narrowed.end());
  }
  DrainedSection section(graph);
  result.refused = section.co_begin_nodes(std::move(drained), limit);
  if (!result.refused.ok()) return result;
  if (node.driver != nullptr) {
    result.refused = co_wait_until_undrained(graph, node, &section, limit);
    if (!result.refused.ok()) {
      section.end();
      return result;
    }
    NodeInFlight in_flight(node, "close");
    result.inactivation =
        annotate(node.driver->co_inactivate(), "closing node '" + node.name + "'");
  }

  co_prepare_permissions(graph, edges, update);
  std::unique_ptr<Node> withdrawn = detach(graph, node, edges, update, section, result.orphans);
  section.end();
  co_pass_all_contexts();
  return result;
}

absl::Status co_close_orphans(Graph& graph, std::vector<std::string> names) {
  absl::Status first;
  while (!names.empty()) {
    const std::string name = std::move(names.back());
    names.pop_back();
    Node* node = graph.find(name);
    if (node == nullptr || node->user_named || !node->parents.empty()) continue;
    if (graph.changes().closing.count(node) != 0) {
      // Its end is awaited here too, and that of what it leaves.
      names.push_back(name);
      for (const auto& child : node->children) {
        if (child->node != nullptr) names.insert(names.begin(), child->node->name);
      }
      if (co_wait_until_closed(graph, name)) continue;
      first.Update(errno_message(ETIMEDOUT, "Node '" + name + "' is still being closed."));
      return first;
    }
    RetireResult result = co_retire(graph, *node, kDefaultDrainLimit);
    first.Update(result.refused);
    first.Update(result.inactivation);
    names.insert(names.end(), result.orphans.begin(), result.orphans.end());
  }
  return first;
}

absl::Status Graph::co_close(const std::string& node_name) {
  Node* node = find(node_name);
  if (node == nullptr) {
    return errno_message(ENOENT, "There is no node called '" + node_name + "' to close.");
  }
  if (!node->parents.empty()) return in_use(*node);
  RetireResult result = co_retire(*this, *node, kDefaultDrainLimit);
  if (!result.refused.ok()) return result.refused;
  absl::Status below = co_close_orphans(*this, std::move(result.orphans));
  return result.inactivation.ok() ? below : result.inactivation;
}

}  // namespace penstock
