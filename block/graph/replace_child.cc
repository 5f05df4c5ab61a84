// SPDX-License-Identifier: Apache-2.0
#include <cerrno>
#include <utility>

#include "base/status.h"
#include "block/graph/change.h"
#include "block/graph/retire.h"

namespace penstock {
namespace {

class ReplaceChild final : public GraphChange {
 public:
  ReplaceChild(std::string parent, std::string child, std::string target)
      : parent_name_(std::move(parent)),
        child_name_(std::move(child)),
        target_name_(std::move(target)) {}

  absl::Status co_prepare(Graph& graph) override CONTROL_COROUTINE_CODE {
    plan_ = {};
    Node* parent = graph.find(parent_name_);
    Node* target = graph.find(target_name_);
    if (parent == nullptr || target == nullptr) {
      return errno_message(ENOENT, "There is no node called '" +
                                       (parent == nullptr ? parent_name_ : target_name_) +
                                       "'. Nothing was replaced.");
    }
    Child* edge = parent->find_child(child_name_);
    if (edge == nullptr || edge->node == nullptr) {
      return errno_message(ENOENT, "Node '" + parent_name_ + "' has no child called '" +
                                       child_name_ + "'. Nothing was replaced.");
    }
    old_ = edge->node;
    if (old_ == target) return absl::OkStatus();
    plan_.edges.push_back({edge, target, std::nullopt});
    plan_.recomputed.push_back(parent);
    plan_.drained_nodes.push_back(parent);
    return absl::OkStatus();
  }
  bool still_fits(const Graph& /*graph*/) const override GLOBAL_STATE_CODE {
    return plan_.edges.empty() || plan_.edges.front().edge->node == old_;
  }
  void commit(GraphEdit& /*edit*/) noexcept override GLOBAL_STATE_CODE { old_name_ = old_->name; }
  // The old child goes if nobody else uses it. Its own failure to write back is not this command's.
  void co_clean_up(Graph& graph) override CONTROL_COROUTINE_CODE {
    (void)co_close_orphans(graph, {old_name_});
  }

 private:
  const std::string parent_name_;
  const std::string child_name_;
  const std::string target_name_;
  Node* old_ = nullptr;
  std::string old_name_;
};

}  // namespace

absl::Status Graph::co_replace_child(const std::string& parent, const std::string& child_name,
                                     const std::string& new_node) {
  return co_run_change(*this, std::make_unique<ReplaceChild>(parent, child_name, new_node));
}

}  // namespace penstock
