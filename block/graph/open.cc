// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cerrno>
#include <deque>
#include <memory>
#include <utility>

#include "base/status.h"
#include "base/sync_point.h"
#include "block/graph/attach_child.h"
#include "block/graph/change.h"
#include "block/graph/nesting.h"
#include "block/graph/node_in_flight.h"
#include "block/graph/retire.h"
#include "block/graph/topology.h"
#include "iothreads/control_thread.h"

namespace penstock {

absl::Status AttachChild::co_prepare(Graph& graph) {
  Node* target = target_ != nullptr ? target_ : graph.find(target_name_);
  if (target == nullptr) {
    return errno_message(ENOENT, "There is no node called '" + target_name_ + "' to be the '" +
                                     edge_.name + "' of node '" + edge_.parent->name + "'.");
  }
  plan_ = {};
  if (edge_.parent->driver != nullptr) {
    plan_.edges.push_back({&edge_, target, std::nullopt});
    plan_.recomputed.push_back(edge_.parent);
  } else {
    plan_.edges.push_back({&edge_, target, Permissions{kConsistentRead, kAllPermissions}});
  }
  return absl::OkStatus();
}

namespace {

// Longest chain that one command opens: images of a backing chain, and as many nodes of other kinds
// one on top of the other.
constexpr size_t kMaxDepth = 256;

struct OpeningNode {
  NodeOptions options;
  std::string edge_name;  // of the parent
  const DriverType* type = nullptr;
  size_t images = 1;  // of the backing chain, down to this one
  std::unique_ptr<Node> node;
  std::deque<std::pair<std::string, ChildOptions>> wanted;  // children that are not there yet
};

// Puts what was opened into the graph, all at once.
class Publish final : public GraphChange {
 public:
  // REQUIRES: the last of `nodes` is the one that nobody uses.
  explicit Publish(std::vector<std::unique_ptr<Node>>& nodes) : nodes_(nodes) {}

  absl::Status co_prepare(Graph& /*graph*/) override CONTROL_COROUTINE_CODE {
    plan_ = {};
    plan_.recomputed.push_back(nodes_.back().get());
    return absl::OkStatus();
  }
  void commit(GraphEdit& edit) noexcept override GLOBAL_STATE_CODE {
    for (std::unique_ptr<Node>& node : nodes_) edit.publish(std::move(node));
  }

 private:
  std::vector<std::unique_ptr<Node>>& nodes_;
};

// Opens a node and everything below it that its options describe, children first, without
// recursion.
class Opening {
 public:
  explicit Opening(Graph& graph) : graph_(graph) {}
  Opening(const Opening&) = delete;
  Opening& operator=(const Opening&) = delete;
  ~Opening() {
    assert_control_thread();
    for (const std::string& name : reserved_) graph_.changes().reserved_names.erase(name);
  }

  absl::StatusOr<Node*> co_run(const NodeOptions& options) CONTROL_COROUTINE_CODE;

 private:
  absl::Status push(NodeOptions options, std::string edge_name) GLOBAL_STATE_CODE;
  absl::Status co_step() CONTROL_COROUTINE_CODE;
  absl::Status co_attach(Node& parent, const std::string& edge_name, const std::string& reference,
                         Node* target) CONTROL_COROUTINE_CODE;
  absl::Status co_load(OpeningNode& opening) CONTROL_COROUTINE_CODE;
  absl::Status co_finish_top() CONTROL_COROUTINE_CODE;
  void co_undo() CONTROL_COROUTINE_CODE;

  Graph& graph_;
  std::vector<OpeningNode> path_;             // being opened, each the parent of the next
  std::vector<std::unique_ptr<Node>> ready_;  // opened, children first
  std::vector<std::string> reserved_;
};

absl::StatusOr<Node*> Opening::co_run(const NodeOptions& options) {
  absl::Status status = push(options, "");
  while (status.ok() && !path_.empty()) {
    PENSTOCK_SYNC_POINT("open:step");
    status = co_step();
  }
  Node* const top = status.ok() ? ready_.back().get() : nullptr;
  if (status.ok()) status = co_run_change(graph_, std::make_unique<Publish>(ready_));
  if (status.ok()) return top;
  co_undo();
  return status;
}

absl::Status Opening::push(NodeOptions options, std::string edge_name) {
  size_t images = 1;
  if (!path_.empty()) {
    const OpeningNode& parent = path_.back();
    images = parent.images + (parent.type->role_of(edge_name) == ChildRole::kBacking ? 1 : 0);
    if (options.image_names == nullptr) options.image_names = parent.options.image_names;
  }
  if (images > kMaxDepth) {
    return errno_message(EINVAL, "The chain of nodes below '" + path_.front().node->name +
                                     "' is longer than " + std::to_string(kMaxDepth) +
                                     ". Shorten it, by committing or streaming.");
  }
  if (path_.size() > kMaxNesting + images - 1) {
    return errno_message(EINVAL, "Below '" + path_.front().node->name + "' more than " +
                                     std::to_string(kMaxNesting) +
                                     " nodes stand above each other. Leave some out.");
  }
  absl::StatusOr<const DriverType*> type = graph_.drivers().find(options.driver);
  if (!type.ok()) return type.status();
  const bool named = !options.node_name.empty();
  if (named && options.node_name.front() == '#') {
    return errno_message(EINVAL, "Node name '" + options.node_name +
                                     "' is not allowed: names that begin with '#' are made up. "
                                     "Choose another one.");
  }
  const std::string name = named ? options.node_name : GraphEdit(graph_).make_up_name();
  if (graph_.find(name) != nullptr || !graph_.changes().reserved_names.insert(name).second) {
    return errno_message(
        EEXIST, "There is a node called '" + name + "' already. Choose another node name.");
  }
  reserved_.push_back(name);

  OpeningNode opening;
  opening.type = *type;
  opening.images = images;
  opening.edge_name = std::move(edge_name);
  const bool stays = named && !options.goes_with_parents;
  opening.node = std::make_unique<Node>(name, stays, (*type)->name());
  opening.node->options = options;
  opening.node->options.image_names = nullptr;
  opening.node->read_only = options.read_only;
  opening.node->home = control_context().shared_from_this();
  const bool has_file = options.children.count("file") != 0;
  if (has_file != (*type)->has_file_child()) {
    return errno_message(EINVAL, "Driver '" + options.driver + "' of node '" + name + "' " +
                                     (has_file ? "takes no 'file'. Leave it out."
                                               : "needs a 'file'. Name a node or describe one."));
  }
  for (const auto& [child_name, child] : options.children) {
    opening.wanted.emplace_back(child_name, child);
  }
  opening.options = std::move(options);
  path_.push_back(std::move(opening));
  return absl::OkStatus();
}

absl::Status Opening::co_step() {
  OpeningNode& top = path_.back();
  if (!top.wanted.empty()) {
    auto [child_name, child] = std::move(top.wanted.front());
    top.wanted.pop_front();
    if (child.inline_options != nullptr) return push(*child.inline_options, child_name);
    // Neither described nor named: explicitly none.
    if (child.reference.empty()) return absl::OkStatus();
    return co_attach(*top.node, child_name, child.reference, nullptr);
  }
  if (top.node->driver == nullptr) return co_load(top);
  return co_finish_top();
}

absl::Status Opening::co_attach(Node& parent, const std::string& edge_name,
                                const std::string& reference, Node* target) {
  const DriverType* type = path_.back().type;
  parent.children.push_back(std::make_unique<Child>(edge_name, type->role_of(edge_name)));
  Child& edge = *parent.children.back();
  edge.parent = &parent;
  std::unique_ptr<GraphChange> change = target != nullptr
                                            ? std::make_unique<AttachChild>(edge, *target)
                                            : std::make_unique<AttachChild>(edge, reference);
  absl::Status status = co_run_change(graph_, std::move(change));
  if (!status.ok()) parent.children.pop_back();
  return status;
}

absl::Status Opening::co_load(OpeningNode& opening) {
  Node& node = *opening.node;
  absl::Status undrained = co_wait_until_undrained(graph_, node, nullptr, kDefaultDrainLimit);
  if (!undrained.ok()) return undrained;
  absl::StatusOr<LoadedDriver> loaded = absl::UnknownError("not loaded");
  {
    NodeInFlight in_flight(node, "open");
    ImageNames* const own_names = opening.options.image_names.get();
    LoadContext context{opening.options, graph_.host(), node.find_child("file"),
                        own_names != nullptr ? own_names : graph_.image_names()};
    loaded = opening.type->co_load(context);
  }
  if (!loaded.ok()) {
    return annotate(loaded.status(), "opening node " + quoted_name(node) + " with driver '" +
                                         node.driver_name + "'");
  }
  node.set_size(loaded->size);
  node.limits = loaded->limits;
  node.file_name = loaded->file_name;
  node.driver = std::move(loaded->driver);
  // A drain of what is below may have begun while nobody was there to be told.
  if (graph_.changes().driver_drains.count(&node) != 0) node.driver->drain_begin();
  for (auto& [child_name, child] : loaded->wanted_children) {
    if (opening.options.children.count(child_name) != 0) continue;
    opening.wanted.emplace_back(child_name, child);
  }
  return absl::OkStatus();
}

// The node is complete: it becomes the child of the one that asked for it.
absl::Status Opening::co_finish_top() {
  OpeningNode done = std::move(path_.back());
  path_.pop_back();
  Node* const node = done.node.get();
  ready_.push_back(std::move(done.node));
  if (path_.empty()) return absl::OkStatus();
  return co_attach(*path_.back().node, done.edge_name, "", node);
}

// Parents first, so that each has no users left when its turn comes.
void Opening::co_undo() {
  std::vector<std::unique_ptr<Node>> order;
  for (OpeningNode& opening : path_) order.push_back(std::move(opening.node));
  for (auto node = ready_.rbegin(); node != ready_.rend(); ++node) {
    order.push_back(std::move(*node));
  }
  for (std::unique_ptr<Node>& node : order) {
    // Without users and unknown to others it can be refused by a lasting drain below it only.
    while (!co_retire(graph_, *node, kDefaultDrainLimit).refused.ok()) {
    }
    node.reset();
  }
}

}  // namespace

absl::StatusOr<Node*> Graph::co_open(const NodeOptions& options) {
  Opening opening(*this);
  return opening.co_run(options);
}

}  // namespace penstock
