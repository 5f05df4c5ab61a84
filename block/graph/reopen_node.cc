// SPDX-License-Identifier: Apache-2.0
#include "block/graph/reopen_node.h"

#include <algorithm>
#include <cerrno>

#include "base/status.h"
#include "block/graph/node_in_flight.h"
#include "block/graph/topology.h"
#include "block/io/flush.h"
#include "iothreads/control_thread.h"
#include "iothreads/coroutine.h"

namespace penstock {

ReopenNode::ReopenNode(Graph& graph, Node& node, NodeOptions options)
    : graph_(graph), node_(node), options_(std::move(options)) {
  graph_.changes().reopening.insert(&node_);
  pins_.emplace(graph_);
  pins_->add(&node_);
  // What a description cannot say stays as it was when the node was opened.
  options_.node_name = node_.options.node_name;
  options_.resolved_path = node_.options.resolved_path;
  options_.shared_outside = node_.options.shared_outside;
  options_.goes_with_parents = node_.options.goes_with_parents;
  options_.awaits_users = node_.options.awaits_users;
  options_.image_names = nullptr;
}

ReopenNode::~ReopenNode() {
  assert_control_thread();
  release();
}

void ReopenNode::release() noexcept {
  if (!pins_) return;
  graph_.changes().reopening.erase(&node_);
  pins_.reset();
}

void ReopenNode::move_edge(const std::string& child_name, Node* target,
                           const PlannedEdges& earlier) {
  Child* edge = node_.find_child(child_name);
  pins_->add(target);
  if (edge != nullptr) {
    pins_->add(edge->node);
    if (earlier.target_of(*edge) == target) {
      kept_.push_back({edge, target, edge->node});
      return;
    }
  } else if (target == nullptr) {
    return;
  } else {
    const absl::StatusOr<const DriverType*> type = graph_.drivers().find(node_.driver_name);
    new_edges_.push_back(std::make_unique<Child>(child_name, (*type)->role_of(child_name)));
    edge = new_edges_.back().get();
    edge->parent = &node_;
  }
  moves_.push_back({edge, target, edge->node});
}

absl::Status ReopenNode::co_prepare(const PlannedEdges& earlier, const Node* new_file,
                                    uint64_t new_file_size) {
  const Child* const file_edge = node_.find_child("file");
  new_file_ = new_file;
  seen_file_size_ = new_file_size;
  seen_driver_ = node_.driver.get();
  pins_->add(new_file_);
  ReopenContext context{node_.options, options_, graph_.host()};
  context.file = file_edge == nullptr ? nullptr : earlier.target_of(*file_edge);
  context.new_file = new_file_;
  context.new_file_size = seen_file_size_;
  pins_->add(context.file);
  absl::StatusOr<Reopened> reopened = node_.driver->co_prepare_reopen(context);
  if (!reopened.ok()) {
    return annotate(reopened.status(), "reopening node " + quoted_name(node_));
  }
  reopened_ = std::move(*reopened);
  return absl::OkStatus();
}

void ReopenNode::add_to(ChangePlan& plan) const {
  for (const Move& move : moves_) plan.edges.push_back({move.edge, move.target, std::nullopt});
  plan.reopened.push_back({&node_, options_.read_only, reopened_.driver.get()});
}

uint64_t ReopenNode::new_size(uint64_t file_size) const {
  if (!reopened_.size) return node_.size();
  if (!reopened_.size_follows_file) return *reopened_.size;
  const uint64_t left_out = seen_file_size_ - *reopened_.size;
  return file_size > left_out ? file_size - left_out : 0;
}

absl::Status ReopenNode::check_size(const PlannedEdges& earlier, uint64_t new_file_size) const {
  const uint64_t size = new_size(new_file_size);
  if (size == node_.size()) return absl::OkStatus();
  for (const Child* user : earlier.users_of(node_)) {
    if ((user->permissions().shared & kResize) != 0) continue;
    return errno_message(EBUSY, "Node " + quoted_name(node_) + " would change its size from " +
                                    std::to_string(node_.size()) + " to " + std::to_string(size) +
                                    " bytes, which " + user_name(*user) +
                                    " does not put up with. Remove that user first.");
  }
  return absl::OkStatus();
}

absl::Status ReopenNode::co_flush(const DrainedSection& own) {
  if (node_.read_only || !options_.read_only) return absl::OkStatus();
  absl::Status status = co_wait_until_undrained(graph_, node_, &own, kDefaultDrainLimit);
  if (!status.ok()) return status;
  NodeInFlight in_flight(node_, "flush");
  return annotate(co_flush_node(node_), "node " + quoted_name(node_) +
                                            " cannot become read-only before its data is safe");
}

bool ReopenNode::still_fits() const {
  if (node_.driver.get() != seen_driver_) return false;
  // A size of its own was chosen by that of the file.
  const bool has_shrunk = new_file_ != nullptr && new_file_->size() < seen_file_size_;
  if (reopened_.size && !reopened_.size_follows_file && has_shrunk) return false;
  const auto unchanged = [](const Move& move) { return move.edge->node == move.seen; };
  return std::all_of(moves_.begin(), moves_.end(), unchanged) &&
         std::all_of(kept_.begin(), kept_.end(), unchanged);
}

void ReopenNode::commit() noexcept {
  for (const Move& move : moves_) {
    if (move.seen != nullptr) left_.push_back(move.seen->name);
    if (move.target != nullptr) continue;
    const auto gone = std::find_if(node_.children.begin(), node_.children.end(),
                                   [&](const auto& child) { return child.get() == move.edge; });
    node_.former_children.push_back(std::move(*gone));
    node_.children.erase(gone);
  }
  for (std::unique_ptr<Child>& edge : new_edges_) node_.children.push_back(std::move(edge));
  new_edges_.clear();
  if (reopened_.driver != nullptr) swap_driver();
  if (reopened_.limits) node_.limits = *reopened_.limits;
  node_.read_only = options_.read_only;
  node_.options = std::move(options_);
  change_size();
  release();
}

void ReopenNode::swap_driver() noexcept {
  assert_in_coroutine();
  const ChangeState& state = graph_.changes();
  const bool drained = state.driver_drains.count(&node_) != 0;
  const bool hurried = state.driver_hurries.count(&node_) != 0;
  if (drained) reopened_.driver->drain_begin();
  if (hurried) reopened_.driver->hurry_begin();
  node_.driver.swap(reopened_.driver);
  if (hurried) reopened_.driver->hurry_end();
  if (drained) reopened_.driver->drain_end();
  // A new driver starts anew. Nobody flushes a node that is idle, so the mutex is free.
  FlushState& flush = node_.flush_state;
  if (!flush.mutex.try_lock()) return;
  flush.flushed.reset();
  flush.failure = absl::OkStatus();
  flush.mutex.unlock();
}

void ReopenNode::change_size() noexcept {
  const uint64_t size = new_size(new_file_ == nullptr ? 0 : new_file_->size());
  if (size == node_.size()) return;
  node_.set_size(size);
  for (Node* each : same_size_above(node_)) each->set_size(size);
}

}  // namespace penstock
