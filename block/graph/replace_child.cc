// SPDX-License-Identifier: Apache-2.0
#include "block/graph/replace_child.h"

#include <cerrno>

#include "base/status.h"
#include "block/graph/reopen.h"

namespace penstock {

absl::Status ReplaceChild::co_prepare(Graph& graph) {
  reopening_.reset();
  const Node* parent = graph.find(parent_name_);
  if (parent == nullptr || graph.find(target_name_) == nullptr) {
    return errno_message(ENOENT, "There is no node called '" +
                                     (parent == nullptr ? parent_name_ : target_name_) +
                                     "'. Nothing was replaced.");
  }
  NodeOptions options = parent->options;
  options.node_name = parent->name;
  options.children.clear();
  for (const auto& edge : parent->children) {
    const Node* const child = earlier().target_of(*edge);
    if (child != nullptr) options.children[edge->name].reference = child->name;
  }
  const auto child = options.children.find(child_name_);
  if (child == options.children.end()) {
    return errno_message(ENOENT, "Node '" + parent_name_ + "' has no child called '" + child_name_ +
                                     "'. Nothing was replaced.");
  }
  child->second.reference = target_name_;

  reopening_ = reopen_change(std::move(options));
  reopening_->follow(earlier());
  absl::Status status = reopening_->co_prepare(graph);
  plan_ = reopening_->plan();
  return status;
}

absl::Status ReplaceChild::co_drained(Graph& graph, const DrainedSection& own) {
  return reopening_->co_drained(graph, own);
}

bool ReplaceChild::still_fits(const Graph& graph) const { return reopening_->still_fits(graph); }

void ReplaceChild::commit(GraphEdit& edit) noexcept { reopening_->commit(edit); }

void ReplaceChild::co_clean_up(Graph& graph) { reopening_->co_clean_up(graph); }

absl::Status Graph::co_replace_child(const std::string& parent, const std::string& child_name,
                                     const std::string& new_node) {
  return co_run_change(*this, std::make_unique<ReplaceChild>(parent, child_name, new_node));
}

}  // namespace penstock
