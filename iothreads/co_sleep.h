// SPDX-License-Identifier: Apache-2.0
// Sleeping coroutines, that others may wake early.
//
// Ownership: a CoSleep belongs to the sleeper and outlives every wake() call on it.
// Threads: wake() from any thread; sleep in a coroutine on any context.
// Errors: none.
// Invariants: a wake() before the sleep makes it return at once; no wake-up is lost.
#pragma once

#include <atomic>

#include "base/thread_roles.h"
#include "iothreads/co_event.h"
#include "iothreads/poller.h"

namespace penstock {

// Sleeps for `duration` on the current context's clock.
void co_sleep(Nanoseconds duration) COROUTINE_CODE;

class CoSleep {
 public:
  // Sleeps until wake() or for `duration`; true if it was woken. The wake-up is used up.
  bool co_sleep_for(Nanoseconds duration) COROUTINE_CODE;
  void wake() { woken_.set(); }

 private:
  CoEvent woken_;
};

}  // namespace penstock
