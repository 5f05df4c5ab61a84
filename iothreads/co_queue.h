// SPDX-License-Identifier: Apache-2.0
// A queue of coroutines that wait for a condition guarded by a ThreadMutex or a CoMutex.
//
// Ownership: outlives its waiters.
// Threads: every function with the guarding lock held; waits in a coroutine on any context.
// Errors: aborts when destroyed with waiters.
// Invariants: first in, first out. The lock is released after the waiter is queued and taken again
//   before the wait returns, so a wake-up under the lock cannot be lost.
#pragma once

#include "base/thread_roles.h"
#include "iothreads/co_mutex.h"
#include "iothreads/thread_mutex.h"

namespace penstock {

class CoQueue {
 public:
  CoQueue() = default;
  CoQueue(const CoQueue&) = delete;
  CoQueue& operator=(const CoQueue&) = delete;
  ~CoQueue();

  void co_wait(ThreadMutex& lock) REQUIRES_ROLE(lock) COROUTINE_CODE;
  void co_wait(CoMutex& lock) REQUIRES_ROLE(lock) COROUTINE_CODE;

  // Wakes the first waiter; false if there is none.
  bool wake_one();
  void wake_all();
  bool empty() const { return head_ == nullptr; }

 private:
  struct Waiter;
  void append(Waiter* waiter);
  Waiter* head_ = nullptr;
  Waiter* tail_ = nullptr;
};

}  // namespace penstock
