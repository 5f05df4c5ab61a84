// SPDX-License-Identifier: Apache-2.0
// One driver instance in the graph.
//
// Ownership: the graph owns nodes. A node owns its driver and the edges to its children.
// Threads: fields are grouped by who may touch them.
// Errors: none here; see block/io and block/graph.
// Invariants: an edge of a node changes only while the node is drained, on the control thread. A
//   request uses only edges of nodes in which it is in flight. The node is freed only after every
//   context has turned its loop since it left the graph.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "block/node/child.h"
#include "block/node/driver.h"
#include "block/node/flush_state.h"
#include "block/node/in_flight.h"
#include "block/node/limits.h"
#include "block/node/request_tracker.h"

namespace penstock {

class Node {
 public:
  Node(std::string node_name, bool named_by_user, std::string_view driver_type_name);
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;
  ~Node();

  // The child called `child_name`, or nullptr.
  Child* find_child(std::string_view child_name) const;

  // The size in bytes as readers see it.
  uint64_t size() const { return size_.load(std::memory_order_acquire); }
  // Publishes a larger size after its data: the size only grows by this.
  void grow_size_to(uint64_t size);
  // A resize's result, exact. REQUIRES: a serialising ticket over the range that comes or goes.
  void set_size(uint64_t size) { size_.store(size, std::memory_order_release); }

  // Constant after construction.
  const std::string name;
  const bool user_named;  // else it goes with its last parent
  const std::string driver_name;

  // Set before the node is visible; then changed only while it is drained.
  std::string file_name;
  bool read_only = true;
  std::unique_ptr<Driver> driver;
  Limits limits;
  std::vector<std::unique_ptr<Child>> children;

  // The control thread's.
  std::vector<Child*> parents;
  int drain_depth = 0;  // sections on this node itself
  NodeOptions options;  // as opened, for queries and reopen
  // Edges that a reopening has taken out: changes under way may still name them.
  std::vector<std::unique_ptr<Child>> former_children;
  std::shared_ptr<AioContext>
      home;  // runs the node's own timers and background work; requests do not need it

  // Their own synchronisation.
  InFlightCounters counters;
  RequestTracker tracker{counters};
  FlushState flush_state;

 private:
  std::atomic<uint64_t> size_{0};
};

}  // namespace penstock
