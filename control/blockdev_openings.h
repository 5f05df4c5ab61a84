// SPDX-License-Identifier: Apache-2.0
// The openings of nodes that commands wait for: storage that never answers holds up the one
// command, and that one can be told to stop waiting.
//
// Ownership: refers to the graph, which owns the nodes. An opening lives until its storage has
//   answered, cancelled or not.
// Threads: the control thread.
// Errors: those of co_open_blockdev(); ECANCELED; ENOENT if nothing of that name is being opened.
// Invariants: a cancelled opening leaves no node. What cannot be taken back at once, a call to
//   storage that hangs, keeps the name and the nodes below it until it returns.
#pragma once

#include <list>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/thread_roles.h"
#include "block/graph/graph.h"
#include "iothreads/co_event.h"
#include "nlohmann/json.hpp"

namespace penstock {

class BlockdevOpenings {
 public:
  explicit BlockdevOpenings(Graph& graph);
  BlockdevOpenings(const BlockdevOpenings&) = delete;
  BlockdevOpenings& operator=(const BlockdevOpenings&) = delete;
  ~BlockdevOpenings();  // REQUIRES: co_wait_none() has answered true

  absl::StatusOr<Node*> co_open(const nlohmann::json& arguments) CONTROL_COROUTINE_CODE;
  absl::Status cancel(const std::string& node_name) GLOBAL_STATE_CODE;
  void cancel_all() GLOBAL_STATE_CODE;
  // True once no opening is left; false if one still was at the deadline.
  bool co_wait_none(Nanoseconds deadline) CONTROL_COROUTINE_CODE;
  // The names of those that are left.
  std::string names() const GLOBAL_STATE_CODE;

 private:
  struct Opening;

  void co_run(Opening& opening, const nlohmann::json& arguments) CONTROL_COROUTINE_CODE;

  Graph& graph_;
  std::list<std::shared_ptr<Opening>> openings_;
  CoEvent ended_;  // one has, since the last look
};

}  // namespace penstock
