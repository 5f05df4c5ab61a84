// SPDX-License-Identifier: Apache-2.0
// The rules of one faults node, and the handle by which tests steer it.
//
// Ownership: part of the driver; outlives every request in the node.
// Threads: every function from any thread; co_* in a coroutine on any context.
// Errors: reached events answer the errno of the rule that fired.
// Invariants: with no rules and no counting an event costs one relaxed load. A suspended request
//   holds no lock of this object.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/byte_range.h"
#include "base/thread_roles.h"
#include "drivers/faults/fault_rule.h"
#include "iothreads/co_queue.h"
#include "iothreads/thread_mutex.h"

namespace penstock {

class Node;

class FaultsController {
 public:
  FaultsController() = default;
  FaultsController(const FaultsController&) = delete;
  FaultsController& operator=(const FaultsController&) = delete;

  void add_rule(FaultRule rule);
  // Requests that are suspended or delayed stay so.
  void clear_rules();

  // Lets every request go on that is suspended with this tag. Returns how many.
  size_t resume(const std::string& tag);
  size_t suspended(const std::string& tag);
  // Waits until at least `count` requests are suspended with this tag.
  void co_wait_suspended(const std::string& tag, size_t count = 1) COROUTINE_CODE;

  // Events are counted from here on, by their canonical names.
  void start_counting();
  uint64_t count(const std::string& event);

  // `event` happens to a request on `range` (empty for a flush): what the rules say.
  absl::Status co_reach(const char* event, ByteRange range) COROUTINE_CODE {
    if (!armed_.load(std::memory_order_relaxed)) return absl::OkStatus();
    return co_apply_rules(event, range);
  }

 private:
  struct ActiveRule {
    FaultRule rule;
    uint64_t matched = 0;
  };
  struct Suspension;

  absl::Status co_apply_rules(const char* event, ByteRange range) COROUTINE_CODE;
  std::vector<FaultRule> take_firing(const char* event, ByteRange range);
  void co_suspend(const std::string& tag) COROUTINE_CODE;

  std::atomic<bool> armed_{false};  // rules or counting
  ThreadMutex mutex_{"FaultsController"};
  std::vector<ActiveRule> rules_ GUARDED_BY(mutex_);
  bool counting_ GUARDED_BY(mutex_) = false;
  std::map<std::string, uint64_t> counts_ GUARDED_BY(mutex_);
  std::vector<Suspension*> suspensions_ GUARDED_BY(mutex_);
  CoQueue suspended_changed_ GUARDED_BY(mutex_);
};

// The controller of a faults node; nullptr for a node of another driver.
FaultsController* faults_controller(const Node& node);

}  // namespace penstock
