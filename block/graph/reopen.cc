// SPDX-License-Identifier: Apache-2.0
#include "block/graph/reopen.h"

#include <cerrno>
#include <utility>

#include "base/printable_text.h"
#include "base/status.h"
#include "base/sync_point.h"
#include "block/graph/reopen_node.h"
#include "block/graph/resize.h"
#include "block/graph/retire.h"
#include "block/graph/topology.h"
#include "iothreads/aio_context.h"

namespace penstock {
namespace {

// A description and the nodes that it is about: the one that it names, and those below that it
// describes in place.
class Reopen final : public GraphChange {
 public:
  explicit Reopen(NodeOptions options) : options_(std::move(options)) {}

  absl::Status co_prepare(Graph& graph) override CONTROL_COROUTINE_CODE;
  absl::Status co_drained(Graph& graph, const DrainedSection& own) override CONTROL_COROUTINE_CODE;
  bool still_fits(const Graph& graph) const override GLOBAL_STATE_CODE;
  void commit(GraphEdit& edit) noexcept override GLOBAL_STATE_CODE;
  void co_clean_up(Graph& graph) override CONTROL_COROUTINE_CODE;

 private:
  absl::Status list_nodes(Graph& graph) GLOBAL_STATE_CODE;
  absl::Status add_node(Graph& graph, Node& node, NodeOptions options) GLOBAL_STATE_CODE;
  absl::Status look_at_children(Graph& graph, ReopenNode& reopened) GLOBAL_STATE_CODE;
  absl::Status look_at_child(Graph& graph, ReopenNode& reopened, const std::string& child_name,
                             const ChildOptions& child) GLOBAL_STATE_CODE;
  absl::Status describe_child(Graph& graph, const ReopenNode& reopened,
                              const std::string& child_name, Node* child,
                              const NodeOptions& options) GLOBAL_STATE_CODE;
  Node* child_now(const Node& node, const std::string& child_name) const;
  absl::StatusOr<Node*> new_file(const Graph& graph,
                                 const ReopenNode& reopened) const GLOBAL_STATE_CODE;
  uint64_t new_size(const Node* node) const;

  const NodeOptions options_;
  std::vector<std::unique_ptr<ReopenNode>> nodes_;  // parents first
};

Node* Reopen::child_now(const Node& node, const std::string& child_name) const {
  const Child* const edge = node.find_child(child_name);
  return edge == nullptr ? nullptr : earlier().target_of(*edge);
}

absl::Status Reopen::add_node(Graph& graph, Node& node, NodeOptions options) {
  if (options.driver != node.driver_name) {
    return errno_message(EINVAL, "Cannot change the option 'driver' of node " + quoted_name(node) +
                                     " from '" + node.driver_name + "' to '" +
                                     printable_text(options.driver) +
                                     "'. Add a new node for that.");
  }
  if (graph.changes().reopening.count(&node) != 0) {
    return errno_message(EBUSY, "Node " + quoted_name(node) +
                                    " is being reopened already. Describe it once, or try again "
                                    "when the other command has ended.");
  }
  if (graph.changes().closing.count(&node) != 0) {
    return errno_message(EBUSY, "Node " + quoted_name(node) + " is being closed.");
  }
  nodes_.push_back(std::make_unique<ReopenNode>(graph, node, std::move(options)));
  return absl::OkStatus();
}

absl::Status Reopen::list_nodes(Graph& graph) {
  Node* const top = graph.find(options_.node_name);
  if (top == nullptr) {
    return errno_message(
        ENOENT, "Failed to find node with node-name='" + printable_text(options_.node_name) + "'");
  }
  absl::Status status = add_node(graph, *top, options_);
  // It grows while it is walked.
  for (size_t i = 0; status.ok() && i < nodes_.size(); ++i) {
    status = look_at_children(graph, *nodes_[i]);
  }
  return status;
}

absl::Status Reopen::look_at_children(Graph& graph, ReopenNode& reopened) {
  const Node& node = reopened.node();
  const absl::StatusOr<const DriverType*> type = graph.drivers().find(node.driver_name);
  const std::map<std::string, ChildOptions>& children = reopened.options().children;
  if ((*type)->has_file_child() && children.count("file") == 0) {
    return errno_message(EINVAL, "'file' is missing for node " + quoted_name(node) +
                                     ". Give it as for opening: the name of a node, or a "
                                     "description.");
  }
  if (child_now(node, "backing") != nullptr && children.count("backing") == 0) {
    return errno_message(EINVAL, "'backing' is missing for node " + quoted_name(node) +
                                     ". Give the name of its backing node, or null to detach it.");
  }
  for (const auto& [child_name, child] : children) {
    if (!(*type)->takes_child(child_name)) {
      return errno_message(
          EINVAL, "Driver '" + node.driver_name + "' takes no '" + child_name + "'. Leave it out.");
    }
    absl::Status status = look_at_child(graph, reopened, child_name, child);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status Reopen::look_at_child(Graph& graph, ReopenNode& reopened,
                                   const std::string& child_name, const ChildOptions& child) {
  const Node& node = reopened.node();
  Node* const now = child_now(node, child_name);
  if (child.inline_options != nullptr) {
    absl::Status status = describe_child(graph, reopened, child_name, now, *child.inline_options);
    if (status.ok()) reopened.move_edge(child_name, now, earlier());
    return status;
  }
  Node* target = nullptr;
  if (!child.reference.empty()) {
    target = graph.find(child.reference);
    if (target == nullptr) {
      return errno_message(ENOENT, "There is no node called '" + printable_text(child.reference) +
                                       "' to be the '" + child_name + "' of node " +
                                       quoted_name(node) + ".");
    }
    if (graph.changes().closing.count(target) != 0) {
      return errno_message(EBUSY, "Node " + quoted_name(*target) + " is being closed.");
    }
  }
  if (target != now && child_name != "file" && child_name != "backing") {
    return errno_message(EINVAL, "Cannot change '" + child_name + "' of node " + quoted_name(node) +
                                     " while it is open. Say it as it is.");
  }
  if (target == nullptr && child_name != "backing") {
    return errno_message(
        EINVAL, "Node " + quoted_name(node) + " cannot be without its '" + child_name + "'.");
  }
  reopened.move_edge(child_name, target, earlier());
  return absl::OkStatus();
}

absl::Status Reopen::describe_child(Graph& graph, const ReopenNode& reopened,
                                    const std::string& child_name, Node* child,
                                    const NodeOptions& options) {
  const std::string of_node = "'" + child_name + "' of node " + quoted_name(reopened.node());
  if (child == nullptr) {
    return errno_message(
        EINVAL, "There is no " + of_node + " to be reopened. Add a node first, and give its name.");
  }
  if (child->user_named) {
    return errno_message(EINVAL, "The " + of_node + " is node " + quoted_name(*child) +
                                     ", which was added by itself. Give its name here, and reopen "
                                     "it by a description of its own.");
  }
  if (!options.node_name.empty() && options.node_name != child->name) {
    return errno_message(EINVAL,
                         "The " + of_node + " is node " + quoted_name(*child) + ", not '" +
                             options.node_name +
                             "'. To put another node there, add it first and give its name.");
  }
  return add_node(graph, *child, options);
}

absl::StatusOr<Node*> Reopen::new_file(const Graph& graph, const ReopenNode& reopened) const {
  const auto given = reopened.options().children.find("file");
  if (given == reopened.options().children.end()) return nullptr;
  const ChildOptions& child = given->second;
  Node* const node = child.inline_options != nullptr ? child_now(reopened.node(), "file")
                                                     : graph.find(child.reference);
  if (node != nullptr) return node;
  return errno_message(EAGAIN, "Node " + quoted_name(reopened.node()) +
                                   " was not reopened: its 'file' has changed meanwhile.");
}

uint64_t Reopen::new_size(const Node* node) const {
  if (node == nullptr) return 0;
  for (const auto& reopened : nodes_) {
    if (&reopened->node() == node) return reopened->new_size(new_size(reopened->new_file()));
  }
  return node->size();
}

absl::Status Reopen::co_prepare(Graph& graph) {
  plan_ = {};
  nodes_.clear();
  if (absl::Status status = list_nodes(graph); !status.ok()) return status;
  // A parent may depend on its child's new size.
  for (auto reopened = nodes_.rbegin(); reopened != nodes_.rend(); ++reopened) {
    PENSTOCK_SYNC_POINT("reopen:prepare");
    const absl::StatusOr<Node*> file = new_file(graph, **reopened);
    if (!file.ok()) return file.status();
    absl::Status status = (*reopened)->co_prepare(earlier(), *file, new_size(*file));
    if (!status.ok()) return status;
  }
  for (const auto& reopened : nodes_) reopened->add_to(plan_);
  return absl::OkStatus();
}

absl::Status Reopen::co_drained(Graph& /*graph*/, const DrainedSection& own) {
  for (const auto& reopened : nodes_) {
    absl::Status status = reopened->check_size(earlier(), new_size(reopened->new_file()));
    if (status.ok()) status = reopened->co_flush(own);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

bool Reopen::still_fits(const Graph& /*graph*/) const {
  for (const auto& reopened : nodes_) {
    if (!reopened->still_fits()) return false;
    if (!reopened->check_size(earlier(), new_size(reopened->new_file())).ok()) return false;
  }
  return true;
}

// Children first: sizes go up.
void Reopen::commit(GraphEdit& /*edit*/) noexcept {
  for (auto reopened = nodes_.rbegin(); reopened != nodes_.rend(); ++reopened) {
    (*reopened)->commit();
  }
}

void Reopen::co_clean_up(Graph& graph) {
  std::vector<std::string> left;
  for (const auto& reopened : nodes_) {
    left.insert(left.end(), reopened->left_nodes().begin(), reopened->left_nodes().end());
  }
  tell_sizes(graph);
  // Nobody may be left who looks at an old driver or edge.
  co_pass_all_contexts();
  nodes_.clear();
  // A failure of what nobody uses any more to write back is not this command's.
  (void)co_close_orphans(graph, std::move(left));
}

}  // namespace

std::unique_ptr<GraphChange> reopen_change(NodeOptions options) {
  return std::make_unique<Reopen>(std::move(options));
}

absl::Status co_reopen(Graph& graph, const std::vector<NodeOptions>& nodes, Nanoseconds limit) {
  std::vector<std::unique_ptr<GraphChange>> changes;
  changes.reserve(nodes.size());
  for (const NodeOptions& options : nodes) changes.push_back(reopen_change(options));
  return co_run_changes(graph, changes, limit);
}

}  // namespace penstock
