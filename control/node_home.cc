// SPDX-License-Identifier: Apache-2.0
#include "control/node_home.h"

#include <algorithm>
#include <cerrno>
#include <memory>
#include <utility>
#include <vector>

#include "base/status.h"
#include "block/graph/drain.h"
#include "iothreads/control_thread.h"

namespace penstock {
namespace {

// The node and all that is below it, each once.
std::vector<Node*> with_descendants(Node& top) GLOBAL_STATE_CODE {
  std::vector<Node*> result{&top};
  for (size_t i = 0; i < result.size(); ++i) {
    for (const auto& child : result[i]->children) {
      const bool known = std::find(result.begin(), result.end(), child->node) != result.end();
      if (child->node != nullptr && !known) result.push_back(child->node);
    }
  }
  return result;
}

// A home that keeps its IoThread in use for as long as a node has it.
absl::StatusOr<std::shared_ptr<AioContext>> home_on(IoThreadRegistry& iothreads,
                                                    const std::optional<std::string>& iothread,
                                                    const std::string& node) GLOBAL_STATE_CODE {
  if (!iothread) return control_context().shared_from_this();
  absl::StatusOr<IoThreadRegistry::Use> use = iothreads.use(*iothread, "node '" + node + "'");
  if (!use.ok()) return use.status();
  auto held = std::make_shared<IoThreadRegistry::Use>(std::move(*use));
  AioContext* const context = held->context().get();
  return std::shared_ptr<AioContext>(std::move(held), context);
}

// In one drained section.
absl::Status co_move(Graph& graph, IoThreadRegistry& iothreads, std::vector<Node*> nodes,
                     const std::optional<std::string>& iothread) CONTROL_COROUTINE_CODE;
absl::Status co_move(Graph& graph, IoThreadRegistry& iothreads, std::vector<Node*> nodes,
                     const std::optional<std::string>& iothread) {
  // In use before the first wait, so that the thread is still there afterwards.
  absl::StatusOr<std::shared_ptr<AioContext>> reserved =
      home_on(iothreads, iothread, nodes.front()->name);
  if (!reserved.ok()) return reserved.status();
  DrainedSection section(graph);
  absl::Status status = section.co_begin_nodes(std::move(nodes), kDefaultDrainLimit);
  if (!status.ok()) return status;
  std::vector<std::pair<Node*, std::shared_ptr<AioContext>>> moves;
  for (Node* moved : section.nodes()) {
    absl::StatusOr<std::shared_ptr<AioContext>> home = home_on(iothreads, iothread, moved->name);
    status.Update(home.status());
    if (home.ok()) moves.emplace_back(moved, std::move(*home));
  }
  if (status.ok()) {
    for (auto& [moved, home] : moves) moved->home = std::move(home);
  }
  section.end();
  return status;
}

}  // namespace

absl::Status co_set_node_home(Graph& graph, IoThreadRegistry& iothreads, const std::string& node,
                              const std::optional<std::string>& iothread) {
  Node* const top = graph.find(node);
  if (top == nullptr) {
    return errno_message(ENOENT, "There is no node called '" + node + "' to move.");
  }
  return co_move(graph, iothreads, with_descendants(*top), iothread);
}

std::vector<std::string> nodes_at_home_on(const Graph& graph, const IoThreadRegistry& iothreads,
                                          const std::string& iothread) {
  std::vector<std::string> result;
  const AioContext* const context = iothreads.context_of(iothread);
  for (const Node* node : graph.nodes()) {
    if (context != nullptr && node->home.get() == context) result.push_back(node->name);
  }
  return result;
}

absl::Status co_set_home_of(Graph& graph, IoThreadRegistry& iothreads,
                            const std::vector<std::string>& nodes,
                            const std::optional<std::string>& iothread) {
  std::vector<Node*> found;
  for (const std::string& name : nodes) {
    if (Node* const node = graph.find(name); node != nullptr) found.push_back(node);
  }
  if (found.empty()) return absl::OkStatus();
  return co_move(graph, iothreads, std::move(found), iothread);
}

}  // namespace penstock
