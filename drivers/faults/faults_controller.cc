// SPDX-License-Identifier: Apache-2.0
#include "drivers/faults/faults_controller.h"

#include <algorithm>
#include <utility>

#include "base/status.h"
#include "iothreads/co_event.h"
#include "iothreads/co_sleep.h"

namespace penstock {

struct FaultsController::Suspension {
  explicit Suspension(const std::string& suspended_tag) : tag(suspended_tag) {}
  const std::string& tag;
  bool resumed = false;
  CoEvent resume;
};

void FaultsController::add_rule(FaultRule rule) {
  ThreadLock lock(mutex_);
  rule.event = canonical_fault_event(rule.event);
  rules_.push_back({std::move(rule), 0});
  armed_.store(true, std::memory_order_relaxed);
}

void FaultsController::clear_rules() {
  ThreadLock lock(mutex_);
  rules_.clear();
  armed_.store(counting_, std::memory_order_relaxed);
}

size_t FaultsController::resume(const std::string& tag) {
  ThreadLock lock(mutex_);
  size_t resumed = 0;
  for (Suspension* suspension : suspensions_) {
    if (suspension->tag != tag || suspension->resumed) continue;
    suspension->resumed = true;
    // Under the lock: the request takes it before it lets its event go.
    suspension->resume.set();
    ++resumed;
  }
  return resumed;
}

size_t FaultsController::suspended(const std::string& tag) {
  ThreadLock lock(mutex_);
  return static_cast<size_t>(
      std::count_if(suspensions_.begin(), suspensions_.end(),
                    [&](const Suspension* s) { return s->tag == tag && !s->resumed; }));
}

void FaultsController::co_wait_suspended(const std::string& tag, size_t count) {
  ThreadLock lock(mutex_);
  while (true) {
    const auto held =
        std::count_if(suspensions_.begin(), suspensions_.end(), [&](const Suspension* suspension) {
          return suspension->tag == tag && !suspension->resumed;
        });
    if (static_cast<size_t>(held) >= count) return;
    suspended_changed_.co_wait(mutex_);
  }
}

void FaultsController::start_counting() {
  ThreadLock lock(mutex_);
  counting_ = true;
  armed_.store(true, std::memory_order_relaxed);
}

uint64_t FaultsController::count(const std::string& event) {
  ThreadLock lock(mutex_);
  const auto found = counts_.find(canonical_fault_event(event));
  return found == counts_.end() ? 0 : found->second;
}

std::vector<FaultRule> FaultsController::take_firing(const char* event, ByteRange range) {
  ThreadLock lock(mutex_);
  if (counting_) ++counts_[event];
  std::vector<FaultRule> firing;
  for (size_t i = 0; i < rules_.size();) {
    ActiveRule& active = rules_[i];
    const FaultRule& rule = active.rule;
    const bool matches = rule.event == event && (!rule.range || rule.range->overlaps(range));
    if (!matches || ++active.matched < rule.nth) {
      ++i;
      continue;
    }
    firing.push_back(rule);
    if (rule.once) {
      rules_.erase(rules_.begin() + static_cast<std::ptrdiff_t>(i));
    } else {
      ++i;
    }
  }
  armed_.store(counting_ || !rules_.empty(), std::memory_order_relaxed);
  return firing;
}

absl::Status FaultsController::co_apply_rules(const char* event, ByteRange range) {
  const std::vector<FaultRule> firing = take_firing(event, range);
  int error_number = 0;
  for (const FaultRule& rule : firing) {
    if (rule.delay.count() > 0) co_sleep(rule.delay);
    if (!rule.suspend.empty()) co_suspend(rule.suspend);
    if (error_number == 0) error_number = rule.error_number;
  }
  return errno_status(error_number, std::string("faults: a rule failed ") + event);
}

void FaultsController::co_suspend(const std::string& tag) {
  Suspension suspension(tag);
  {
    ThreadLock lock(mutex_);
    suspensions_.push_back(&suspension);
    suspended_changed_.wake_all();
  }
  suspension.resume.co_wait();
  ThreadLock lock(mutex_);
  std::erase(suspensions_, &suspension);
}

}  // namespace penstock
