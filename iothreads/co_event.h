// SPDX-License-Identifier: Apache-2.0
// A flag that coroutines wait for.
//
// Ownership: outlives its waiters and every set() call.
// Threads: all functions from any thread; waits in a coroutine on any context.
// Errors: a timed wait answers false when its time is over.
// Invariants: set() wakes everybody who waits, each on the context where it yielded; the event
//   stays set until reset(). No wake-up is lost between a check and the wait.
#pragma once

#include <optional>

#include "base/thread_roles.h"
#include "iothreads/poller.h"
#include "iothreads/thread_mutex.h"

namespace penstock {

class CoEvent {
 public:
  CoEvent() = default;
  ~CoEvent();

  void set();
  void reset();
  bool is_set();
  void co_wait() COROUTINE_CODE;
  // `deadline` on the current context's clock (AioContext::now()); true if the event was set.
  bool co_wait_until(Nanoseconds deadline) COROUTINE_CODE;

 private:
  struct Waiter;
  bool co_wait_with(std::optional<Nanoseconds> deadline) COROUTINE_CODE;
  static void time_out(struct Timer* timer);

  ThreadMutex mutex_{"CoEvent"};
  bool set_ GUARDED_BY(mutex_) = false;
  Waiter* head_ GUARDED_BY(mutex_) = nullptr;
  Waiter* tail_ GUARDED_BY(mutex_) = nullptr;
};

}  // namespace penstock
