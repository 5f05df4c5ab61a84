// SPDX-License-Identifier: Apache-2.0
#include "control/node_events.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <utility>

#include "base/status.h"
#include "block/backend/backend.h"
#include "block/graph/resize.h"
#include "iothreads/aio_context.h"
#include "iothreads/control_thread.h"

namespace penstock {
namespace {

constexpr unsigned kFailuresInASecond = 4;
constexpr std::chrono::milliseconds kBetweenSizes{250};
constexpr std::chrono::seconds kSecond{1};

}  // namespace

NodeEvents::NodeEvents(Graph& graph, EventHub& hub) : graph_(graph), hub_(hub) {
  graph_.on_size_change = [this](const Node& node) {
    assert_control_thread();
    hub_.emit("X_PENSTOCK_BLOCK_RESIZED", {{"node-name", node.name}, {"size", node.size()}});
  };
}

void NodeEvents::request_failed(const Backend& backend, RequestKind kind,
                                const absl::Status& outcome) {
  const int error = status_errno(outcome);
  // What a driver cannot do is no failure of the storage.
  if (error == EOPNOTSUPP) return;
  Failure failure = {kind, error == ENOSPC, status_text(outcome)};
  const ThreadLock lock(mutex_);
  if (stopped_) return;
  Failures& node = failures_[backend.root.node->name];
  if (node.told == kFailuresInASecond) {
    ++node.left_out;
    node.last = std::move(failure);
    return;
  }
  ++node.told;
  node.untold.push_back(std::move(failure));
  start_unless_running(std::exchange(running_, true));
}

void NodeEvents::size_changed() {
  // An exchange, not a load: either the look at the sizes comes later and sees this one, or it has
  // begun and this makes another one due.
  if (sizes_due_.exchange(true, std::memory_order_acq_rel)) return;
  const ThreadLock lock(mutex_);
  // A coroutine that runs looks by itself.
  if (stopped_ || running_) return;
  running_ = true;
  start_unless_running(false);
}

void NodeEvents::start_unless_running(bool running) {
  if (running) {
    wait_.wake();
    return;
  }
  control_context().spawn("tell of nodes", [this] {
    assert_in_coroutine();
    assert_control_thread();
    co_tell_for_a_while();
  });
}

void NodeEvents::co_tell_for_a_while() {
  Nanoseconds second_begins = AioContext::current()->now();
  Nanoseconds next_sizes = second_begins;
  for (;;) {
    const Nanoseconds now = AioContext::current()->now();
    if (now >= second_begins + kSecond) {
      if (!begin_second()) return;
      second_begins = now;
    }
    tell();
    if (now >= next_sizes) {
      if (sizes_due_.exchange(false, std::memory_order_acq_rel)) tell_sizes(graph_);
      next_sizes = now + kBetweenSizes;
    }
    const Nanoseconds left = std::min(second_begins + Nanoseconds(kSecond), next_sizes) - now;
    wait_.co_sleep_for(std::max(left, Nanoseconds{0}));
    const ThreadLock lock(mutex_);
    if (!stopped_) continue;
    running_ = false;
    ended_.set();
    return;
  }
}

// Takes what is to be told out of the lock, since listeners are called for it.
void NodeEvents::tell() {
  std::map<std::string, std::vector<Failure>> untold;
  {
    const ThreadLock lock(mutex_);
    for (auto& [node, failures] : failures_) {
      if (!failures.untold.empty()) untold[node] = std::exchange(failures.untold, {});
    }
  }
  for (const auto& [node, failures] : untold) {
    for (const Failure& failure : failures) emit_failure(node, failure, 0);
  }
}

// Tells of what was left out in the second that has ended. False if there was nothing in it: the
// coroutine ends then.
bool NodeEvents::begin_second() {
  std::map<std::string, Failures> former;
  {
    const ThreadLock lock(mutex_);
    former = std::exchange(failures_, {});
    if (former.empty() && !sizes_due_.load(std::memory_order_relaxed)) {
      running_ = false;
      return false;
    }
    // The one that is told now belongs to the new second.
    for (const auto& [node, failures] : former) {
      if (failures.left_out > 0) failures_[node].told = 1;
    }
  }
  for (const auto& [node, failures] : former) {
    for (const Failure& failure : failures.untold) emit_failure(node, failure, 0);
    if (failures.left_out > 0) emit_failure(node, failures.last, failures.left_out - 1);
  }
  return true;
}

void NodeEvents::emit_failure(const std::string& node, const Failure& failure, uint64_t left_out) {
  nlohmann::json data = {{"node-name", node},
                         {"qom-path", ""},
                         {"device", ""},
                         {"operation", failure.kind == RequestKind::kRead ? "read" : "write"},
                         {"action", "report"},
                         {"nospace", failure.no_space},
                         {"reason", failure.reason}};
  if (left_out > 0) data["x-penstock-left-out"] = left_out;
  hub_.emit("BLOCK_IO_ERROR", std::move(data));
}

void NodeEvents::co_stop() {
  bool was_running = false;
  {
    const ThreadLock lock(mutex_);
    if (stopped_) return;
    stopped_ = true;
    was_running = running_;
    if (was_running) wait_.wake();
  }
  if (was_running) ended_.co_wait();
  begin_second();
  if (sizes_due_.exchange(false, std::memory_order_acq_rel)) tell_sizes(graph_);
}

}  // namespace penstock
