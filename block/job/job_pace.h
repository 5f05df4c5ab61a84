// SPDX-License-Identifier: Apache-2.0
// Where a job's workers wait: while it is paused, while it is faster than it may be; and where they
// learn that they are to stop.
//
// Ownership: embedded in a job; outlives its workers.
// Threads: workers in coroutines on any context, in flight in no node and no gate; the rest from
//   any thread, but for set_on_idle(), which comes before the first worker. `on_idle` is called on
//   any thread.
// Errors: co_pass() answers false once the job is to stop.
// Invariants: while it is held no worker gets past co_pass(), and one that waits there holds
//   nothing. Over any time t at most speed * (t + 0.1 s) bytes pass, and one request more.
#pragma once

#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "base/thread_roles.h"
#include "iothreads/co_event.h"
#include "iothreads/poller.h"
#include "iothreads/thread_mutex.h"

namespace penstock {

class JobPace {
 public:
  JobPace() = default;
  JobPace(const JobPace&) = delete;
  JobPace& operator=(const JobPace&) = delete;

  // One coroutine that works for the job, for as long as this lives.
  class Worker {
   public:
    explicit Worker(JobPace& pace) : pace_(pace) {}
    Worker(const Worker&) = delete;
    Worker& operator=(const Worker&) = delete;
    ~Worker();

    // Call it before each piece of work, of `bytes` bytes. False: stop.
    bool co_pass(uint64_t bytes) COROUTINE_CODE;
    // Does nothing for a while. False: stop.
    bool co_rest(Nanoseconds duration) COROUTINE_CODE;

   private:
    friend class JobPace;
    JobPace& pace_;
    bool working_ = false;
    uint64_t paid_at_ = 0;  // the speed of its last payment, by number
  };

  // Waits until stop(), paused or not.
  void co_wait_stopped() COROUTINE_CODE;

  void hold();
  void release();
  void stop();  // for good; also what is held
  bool stopped() const;
  // Bytes a second; 0: no limit.
  void set_speed(uint64_t speed);
  uint64_t speed() const;
  // No worker is past co_pass().
  bool idle() const;
  // Bytes that the worker's last co_pass() was told of, and that did not have to be moved.
  void refund(const Worker& worker, uint64_t bytes);
  // The last worker has begun to wait, or has ended, while the job is held.
  void set_on_idle(std::function<void()> on_idle) { on_idle_ = std::move(on_idle); }

 private:
  struct Answer {
    enum class Kind : uint8_t { kGo, kStop, kWait } kind;
    Nanoseconds until{0};  // kWait: 0 means until something changes
  };
  // kWait: `changed` is set when it is worth to ask again.
  Answer ask(Worker& worker, uint64_t bytes, Nanoseconds now, CoEvent& changed);
  void forget(CoEvent& changed);
  void leave(Worker& worker);
  void wake_all() REQUIRES_ROLE(mutex_);

  mutable ThreadMutex mutex_{"JobPace"};
  bool held_ GUARDED_BY(mutex_) = false;
  bool stopped_ GUARDED_BY(mutex_) = false;
  unsigned working_ GUARDED_BY(mutex_) = 0;
  uint64_t speed_ GUARDED_BY(mutex_) = 0;
  uint64_t speeds_ GUARDED_BY(mutex_) = 0;      // how often it was set
  Nanoseconds empty_at_ GUARDED_BY(mutex_){0};  // when the bytes that passed will be paid for
  std::vector<CoEvent*> waiters_ GUARDED_BY(mutex_);
  std::function<void()> on_idle_;  // constant once workers run
};

}  // namespace penstock
