// SPDX-License-Identifier: Apache-2.0
// One node of a reopening: what is planned for it, and the commit.
//
// Ownership: owned by the change of a description; keeps the node from being closed and from being
//   reopened twice until it is committed or dropped.
// Threads: the control thread.
// Errors: as reopen.h.
// Invariants: until commit() nothing of the node has changed; what was prepared goes with this.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "base/thread_roles.h"
#include "block/graph/change.h"
#include "block/graph/drain.h"
#include "block/graph/graph.h"
#include "block/graph/pins.h"
#include "block/graph/planned_edges.h"
#include "block/node/node.h"

namespace penstock {

class ReopenNode {
 public:
  // REQUIRES: the node is not being reopened.
  ReopenNode(Graph& graph, Node& node, NodeOptions options) GLOBAL_STATE_CODE;
  ReopenNode(const ReopenNode&) = delete;
  ReopenNode& operator=(const ReopenNode&) = delete;
  ~ReopenNode();

  Node& node() const { return node_; }
  const NodeOptions& options() const { return options_; }
  // The size that it will have above a "file" child of this size, bytes.
  uint64_t new_size(uint64_t file_size) const;

  // An edge of the node goes to `target`, or away, or comes anew, or stays where it is. Before
  // co_prepare().
  void move_edge(const std::string& child_name, Node* target,
                 const PlannedEdges& earlier) GLOBAL_STATE_CODE;
  // `new_file`: what will be the "file" child; `new_file_size`: its size then, in bytes.
  absl::Status co_prepare(const PlannedEdges& earlier, const Node* new_file,
                          uint64_t new_file_size) CONTROL_COROUTINE_CODE;
  void add_to(ChangePlan& plan) const GLOBAL_STATE_CODE;

  // What "file" will be; nullptr: there is none.
  const Node* new_file() const { return new_file_; }
  // Drained: EBUSY if a user does not put up with the new size.
  absl::Status check_size(const PlannedEdges& earlier,
                          uint64_t new_file_size) const GLOBAL_STATE_CODE;
  // Drained: makes what was written durable, if nobody will be able to afterwards.
  absl::Status co_flush(const DrainedSection& own) CONTROL_COROUTINE_CODE;
  bool still_fits() const GLOBAL_STATE_CODE;
  void commit() noexcept GLOBAL_STATE_CODE;
  // Nodes that have lost this one as their user, which may have been their last.
  const std::vector<std::string>& left_nodes() const { return left_; }

 private:
  struct Move {
    Child* edge;
    Node* target;
    const Node* seen;  // where the edge points before the commit
  };
  void swap_driver() noexcept GLOBAL_STATE_CODE;
  void change_size() noexcept GLOBAL_STATE_CODE;
  void release() noexcept GLOBAL_STATE_CODE;

  Graph& graph_;
  Node& node_;
  NodeOptions options_;
  std::optional<Pins> pins_;
  std::vector<Move> moves_;
  std::vector<Move> kept_;  // edges that stay
  std::vector<std::unique_ptr<Child>> new_edges_;
  Reopened reopened_;  // after the commit: the old driver
  const Driver* seen_driver_ = nullptr;
  const Node* new_file_ = nullptr;
  uint64_t seen_file_size_ = 0;
  std::vector<std::string> left_;
};

}  // namespace penstock
