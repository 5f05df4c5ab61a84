// SPDX-License-Identifier: Apache-2.0
// Drained sections: no request is in flight in a set of nodes, and none gets in.
//
// Begin quiesces the gates of every backend above the set, tells the drivers of the set and above
// it, and waits until what is inside has ended, completion tails included. Nothing else is touched.
// Sections nest.
//
// Ownership: a section refers to nodes, which stay in the graph while they are drained.
// Threads: co_begin in a coroutine on any context that is in flight in no node and holds no
//   CoMutex, CoRwLock or lease (aborts otherwise); it hops to the control thread and back.
// Errors: ETIMEDOUT after the time limit, naming the request that holds up the drain (operation,
//   offset, length, node); the drain is then taken back and nothing has changed.
// Invariants: drain does not flush. It ends under endless new requests, since they park at the
//   gates. A section follows the graph: when edges change, it lets go what no longer reaches its
//   nodes and takes in what now does.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/thread_roles.h"
#include "iothreads/poller.h"

namespace penstock {

class Backend;
class Graph;
class Node;

inline constexpr Nanoseconds kDefaultDrainLimit = std::chrono::seconds(30);

class DrainedSection {
 public:
  explicit DrainedSection(Graph& graph) : graph_(graph) {}
  DrainedSection(const DrainedSection&) = delete;
  DrainedSection& operator=(const DrainedSection&) = delete;
  ~DrainedSection();  // aborts if still begun

  // Any context. Nodes by name, so that they may be looked up on the control thread: ENOENT if
  // unknown.
  absl::Status co_begin(const std::vector<std::string>& node_names,
                        Nanoseconds limit = kDefaultDrainLimit) IO_OR_GS_CODE;
  absl::Status co_begin_all(Nanoseconds limit = kDefaultDrainLimit) IO_OR_GS_CODE;
  void co_end() IO_OR_GS_CODE;

  // The same for code that is on the control thread and has the nodes.
  absl::Status co_begin_nodes(std::vector<Node*> nodes, Nanoseconds limit) CONTROL_COROUTINE_CODE;
  // Nodes, and backends whose gates alone are drained.
  absl::Status co_begin_set(std::vector<Node*> nodes, std::vector<Backend*> backends,
                            Nanoseconds limit) CONTROL_COROUTINE_CODE;
  void end() GLOBAL_STATE_CODE;

  bool begun() const { return begun_; }

  // For the code of block/graph.
  const std::vector<Node*>& nodes() const { return nodes_; }
  // True if the node is drained by this section: in the set, or above it.
  bool covers(const Node& node) const;
  // True if nothing is in flight in the covered nodes.
  bool nodes_idle() const;
  // After edges have changed.
  void cover_again() GLOBAL_STATE_CODE;
  // A node was opened: it is born drained in a section on all nodes.
  void note_new_node(Node& node) GLOBAL_STATE_CODE;
  // A node has left the graph.
  void forget_node(Node& node) GLOBAL_STATE_CODE;

 private:
  absl::Status co_begin_here(Nanoseconds limit) CONTROL_COROUTINE_CODE;
  bool co_wait_idle(Nanoseconds limit) CONTROL_COROUTINE_CODE;
  void cover(std::vector<Node*> nodes, std::vector<Backend*> backends) GLOBAL_STATE_CODE;
  void hurry(std::vector<Node*> nodes) GLOBAL_STATE_CODE;
  bool gates_idle() const;
  absl::Status timed_out(Nanoseconds limit) const GLOBAL_STATE_CODE;

  Graph& graph_;
  std::vector<Node*> nodes_;             // the set itself
  std::vector<Backend*> chosen_;         // backends drained by themselves
  std::vector<Node*> covered_nodes_;     // the set and all above it, parents first
  std::vector<Backend*> covered_gates_;  // the backends of those, and the chosen ones
  std::vector<Node*> hurried_nodes_;     // below those, while it waits
  bool all_ = false;
  bool waiting_ = false;      // waiters are announced at all that is covered
  bool barrier_due_ = false;  // something was quiesced or announced since the last heavy barrier
  bool begun_ = false;
};

}  // namespace penstock
