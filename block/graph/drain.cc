// SPDX-License-Identifier: Apache-2.0
#include "block/graph/drain.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "base/status.h"
#include "base/sync_point.h"
#include "block/graph/drain_holder.h"
#include "block/graph/graph.h"
#include "block/graph/topology.h"
#include "iothreads/control_thread.h"
#include "iothreads/coroutine.h"

namespace penstock {
namespace {

template <typename T>
bool contains(const std::vector<T*>& list, const T* item) {
  return std::find(list.begin(), list.end(), item) != list.end();
}

template <typename T>
void remove_duplicates(std::vector<T*>& list) {
  std::vector<T*> unique;
  for (T* item : list) {
    if (!contains(unique, item)) unique.push_back(item);
  }
  list = std::move(unique);
}

// A drain waits for every request above its nodes. A caller that is one of them, or that holds what
// one of them may want, would wait for itself.
void check_caller() {
  const Coroutine* self = Coroutine::self();
  if (self == nullptr || self->in_flight != 0 || self->locks_held != 0) {
    std::fprintf(
        stderr,
        "penstock: a drain was begun by a coroutine that is in flight in %d nodes or gates "
        "and holds %d locks; it must have left them all\n",
        self == nullptr ? 0 : self->in_flight, self == nullptr ? 0 : self->locks_held);
    std::abort();
  }
}

}  // namespace

DrainedSection::~DrainedSection() {
  if (begun_) {
    std::fprintf(stderr, "penstock: a drained section was destroyed before its end\n");
    std::abort();
  }
}

absl::Status DrainedSection::co_begin(const std::vector<std::string>& node_names,
                                      Nanoseconds limit) {
  check_caller();
  CoControlHop hop;
  assert_control_thread();
  std::vector<Node*> nodes;
  std::string unknown;
  for (const std::string& name : node_names) {
    Node* node = graph_.find(name);
    if (node != nullptr) {
      nodes.push_back(node);
    } else {
      unknown += (unknown.empty() ? "'" : ", '") + name + "'";
    }
  }
  if (!unknown.empty()) {
    return errno_message(ENOENT, "Nothing was drained: there is no node called " + unknown + ".");
  }
  return co_begin_set(std::move(nodes), {}, limit);
}

absl::Status DrainedSection::co_begin_all(Nanoseconds limit) {
  check_caller();
  CoControlHop hop;
  assert_control_thread();
  nodes_ = graph_.nodes();
  all_ = true;
  return co_begin_here(limit);
}

void DrainedSection::co_end() {
  CoControlHop hop;
  assert_control_thread();
  end();
}

absl::Status DrainedSection::co_begin_nodes(std::vector<Node*> nodes, Nanoseconds limit) {
  return co_begin_set(std::move(nodes), {}, limit);
}

absl::Status DrainedSection::co_begin_set(std::vector<Node*> nodes, std::vector<Backend*> backends,
                                          Nanoseconds limit) {
  check_caller();
  nodes_ = std::move(nodes);
  chosen_ = std::move(backends);
  remove_duplicates(nodes_);
  remove_duplicates(chosen_);
  return co_begin_here(limit);
}

absl::Status DrainedSection::co_begin_here(Nanoseconds limit) {
  if (begun_) std::abort();
  for (Node* node : nodes_) ++node->drain_depth;
  graph_.changes().sections.push_back(this);
  waiting_ = true;
  cover_again();
  PENSTOCK_SYNC_POINT("drain:quiesced");
  const bool idle = co_wait_idle(limit);
  absl::Status status = idle ? absl::OkStatus() : timed_out(limit);
  for (Backend* backend : covered_gates_) backend->gate.counters().remove_waiter();
  for (Node* node : covered_nodes_) node->counters.remove_waiter();
  waiting_ = false;
  hurry({});
  begun_ = true;
  if (!idle) end();
  return status;
}

bool DrainedSection::co_wait_idle(Nanoseconds limit) {
  const Nanoseconds deadline = AioContext::current()->now() + limit;
  bool in_time = true;
  while (true) {
    // All drainers are on this thread, so nobody resets the event between the look and the wait.
    drain_event().reset();
    if (std::exchange(barrier_due_, false)) heavy_barrier();
    if (gates_idle() && nodes_idle()) return true;
    if (!in_time) return false;
    in_time = drain_event().co_wait_until(deadline);
  }
}

void DrainedSection::end() {
  if (!begun_) std::abort();
  begun_ = false;
  ChangeState& state = graph_.changes();
  state.sections.erase(std::find(state.sections.begin(), state.sections.end(), this));
  for (Node* node : nodes_) --node->drain_depth;
  nodes_.clear();
  chosen_.clear();
  all_ = false;
  cover({}, {});
  state.released.set();
}

bool DrainedSection::covers(const Node& node) const { return contains(covered_nodes_, &node); }

bool DrainedSection::gates_idle() const {
  return std::all_of(covered_gates_.begin(), covered_gates_.end(),
                     [](const Backend* backend) { return backend->gate.idle(); });
}

bool DrainedSection::nodes_idle() const {
  return std::all_of(covered_nodes_.begin(), covered_nodes_.end(),
                     [](const Node* node) { return node->counters.idle(); });
}

void DrainedSection::cover_again() {
  std::vector<Node*> nodes = with_ancestors(nodes_);
  std::vector<Backend*> backends = backends_of(nodes);
  backends.insert(backends.end(), chosen_.begin(), chosen_.end());
  remove_duplicates(backends);
  cover(std::move(nodes), std::move(backends));
  if (waiting_) hurry(nodes_below(covered_nodes_, covered_gates_));
}

void DrainedSection::cover(std::vector<Node*> nodes, std::vector<Backend*> backends) {
  std::map<const Node*, int>& driver_drains = graph_.changes().driver_drains;
  const std::vector<Node*> old_nodes = std::exchange(covered_nodes_, std::move(nodes));
  const std::vector<Backend*> old_gates = std::exchange(covered_gates_, std::move(backends));

  for (Backend* backend : covered_gates_) {
    if (contains(old_gates, backend)) continue;
    backend->gate.quiesce();
    if (backend->on_drain) backend->on_drain(true);
    if (waiting_) backend->gate.counters().add_waiter();
    barrier_due_ = true;
  }
  for (Node* node : covered_nodes_) {
    if (contains(old_nodes, node)) continue;
    if (driver_drains[node]++ == 0 && node->driver != nullptr) node->driver->drain_begin();
    if (waiting_) node->counters.add_waiter();
    barrier_due_ = true;
  }

  for (auto node = old_nodes.rbegin(); node != old_nodes.rend(); ++node) {
    if (contains(covered_nodes_, *node)) continue;
    if (waiting_) (*node)->counters.remove_waiter();
    const auto drains = driver_drains.find(*node);
    if (--drains->second > 0) continue;
    driver_drains.erase(drains);
    if ((*node)->driver != nullptr) (*node)->driver->drain_end();
  }
  for (Backend* backend : old_gates) {
    if (contains(covered_gates_, backend)) continue;
    if (waiting_) backend->gate.counters().remove_waiter();
    backend->gate.resume();
    if (backend->on_drain) backend->on_drain(false);
  }
  // Whoever waits looks again at what is covered now.
  if (waiting_) drain_event().set();
}

// Requests from above may be held back below; when none is left, nobody there need hurry.
void DrainedSection::hurry(std::vector<Node*> nodes) {
  std::map<const Node*, int>& hurries = graph_.changes().driver_hurries;
  const std::vector<Node*> old_nodes = std::exchange(hurried_nodes_, std::move(nodes));
  for (Node* node : hurried_nodes_) {
    if (contains(old_nodes, node)) continue;
    if (hurries[node]++ == 0 && node->driver != nullptr) node->driver->hurry_begin();
  }
  for (Node* node : old_nodes) {
    if (contains(hurried_nodes_, node)) continue;
    const auto found = hurries.find(node);
    if (--found->second > 0) continue;
    hurries.erase(found);
    if (node->driver != nullptr) node->driver->hurry_end();
  }
}

void DrainedSection::note_new_node(Node& node) {
  if (!all_) return;
  ++node.drain_depth;
  nodes_.push_back(&node);
}

void DrainedSection::forget_node(Node& node) {
  const auto found = std::find(nodes_.begin(), nodes_.end(), &node);
  if (found == nodes_.end()) return;
  --node.drain_depth;
  nodes_.erase(found);
}

absl::Status DrainedSection::timed_out(Nanoseconds limit) const {
  const auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(limit).count();
  std::string what;
  if (all_) {
    what = "all nodes";
  } else {
    for (const Node* node : nodes_) what += (what.empty() ? "'" : ", '") + node->name + "'";
    for (const Backend* backend : chosen_) {
      what += (what.empty() ? "backend '" : ", backend '") + backend->name + "'";
    }
  }
  return errno_message(
      ETIMEDOUT, "The drain of " + what + " was taken back after " + std::to_string(milliseconds) +
                     " ms: " + describe_holder(graph_, covered_gates_, covered_nodes_) +
                     " Nothing has changed; try again when it has ended.");
}

}  // namespace penstock
