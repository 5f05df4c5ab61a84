// SPDX-License-Identifier: Apache-2.0
// A condition variable for threads, over a ThreadMutex.
//
// Ownership: outlives its waiters.
// Threads: any that may block; never a coroutine.
// Errors: none.
// Invariants: waits may end without a notification; callers wait in a loop. The mutex counts as
//   held during the wait.
#pragma once

#include <chrono>
#include <condition_variable>

#include "base/thread_roles.h"
#include "iothreads/thread_mutex.h"

namespace penstock {

class ThreadCondition {
 public:
  void wait(ThreadMutex& mutex) REQUIRES_ROLE(mutex);
  // False if `limit` passed without a notification.
  bool wait_for(ThreadMutex& mutex, std::chrono::nanoseconds limit) REQUIRES_ROLE(mutex);
  void notify_one() { condition_.notify_one(); }
  void notify_all() { condition_.notify_all(); }

 private:
  std::condition_variable condition_;
};

}  // namespace penstock
