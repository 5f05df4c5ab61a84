// SPDX-License-Identifier: Apache-2.0
// All nodes and backends, and the only code that changes edges.
//
// Ownership: owns the nodes. Backends belong to their users and are listed here.
// Threads: the control thread. Functions called co_* yield there and let other commands run
//   between.
// Errors: ENOENT, EEXIST, EBUSY with both users named, and those of drivers; a failed change leaves
//   graph, permissions, locks and files as they were.
// Invariants: edges change only in a slice of the control thread that never yields, with their
//   parents drained and idle (see change.h).
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/host_services.h"
#include "base/thread_roles.h"
#include "block/backend/backend.h"
#include "block/graph/change_state.h"
#include "block/graph/drain.h"
#include "block/graph/driver_registry.h"
#include "block/node/node.h"
#include "block/node/options.h"

namespace penstock {

class Graph {
 public:
  // `names` decides about files that images name; nullptr: images that name one are refused.
  Graph(const DriverRegistry& drivers, HostServices& host, ImageNames* names = nullptr);
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  ~Graph();  // aborts if nodes are left

  // Opens a node and the children that its options describe. The node is in the graph when this
  // returns, used by nobody, with permissions taken only for itself.
  absl::StatusOr<Node*> co_open(const NodeOptions& options) CONTROL_COROUTINE_CODE;
  // Inactivates and removes a node; EBUSY if somebody uses it. Its unnamed children go with it.
  // The node is gone even if writing back failed; the first such error is returned.
  absl::Status co_close(const std::string& node_name) CONTROL_COROUTINE_CODE;

  // A backend on a node, with these permissions. EBUSY on a conflict.
  absl::StatusOr<std::unique_ptr<Backend>> co_attach_backend(
      std::string name, Node& node, Permissions permissions) CONTROL_COROUTINE_CODE;
  // Drains the backend, closes its gate and takes it from its node; afterwards it may be destroyed.
  // ETIMEDOUT: it is where it was.
  absl::Status co_detach_backend(Backend& backend,
                                 Nanoseconds limit = kDefaultDrainLimit) CONTROL_COROUTINE_CODE;

  // Points an edge of `parent` to another node. EBUSY, EINVAL (a loop), ETIMEDOUT (drain).
  absl::Status co_replace_child(const std::string& parent, const std::string& child_name,
                                const std::string& new_node) CONTROL_COROUTINE_CODE;
  // Puts a filter, opened with `options` and no child, between `node` and all who use it now.
  absl::StatusOr<Node*> co_insert_filter(const NodeOptions& options,
                                         const std::string& node) CONTROL_COROUTINE_CODE;
  // Takes a filter out again and closes it.
  absl::Status co_remove_filter(const std::string& filter) CONTROL_COROUTINE_CODE;

  // Called on the control thread when a node's size has changed (block/graph/resize.h).
  std::function<void(const Node& node)> on_size_change;

  Node* find(const std::string& node_name) const GLOBAL_STATE_CODE;
  std::vector<Node*> nodes() const GLOBAL_STATE_CODE;
  const std::vector<Backend*>& backends() const GLOBAL_STATE_CODE { return backends_; }
  const DriverRegistry& drivers() const { return drivers_; }
  HostServices& host() const { return host_; }
  ImageNames* image_names() const { return names_; }
  // Raised by each committed change.
  uint64_t generation() const GLOBAL_STATE_CODE { return generation_; }
  // For the code of block/graph.
  ChangeState& changes() GLOBAL_STATE_CODE { return changes_; }

 private:
  friend class GraphEdit;  // the committing half: edges, lists, permissions (graph_edit.h)
  const DriverRegistry& drivers_;
  HostServices& host_;
  ImageNames* const names_;
  std::map<std::string, std::unique_ptr<Node>> nodes_;
  std::vector<Backend*> backends_;
  uint64_t next_name_ = 0;
  uint64_t generation_ = 0;
  ChangeState changes_;
};

}  // namespace penstock
