// SPDX-License-Identifier: Apache-2.0
// A lock for coroutines with many readers or one writer.
//
// Ownership: outlives its holders.
// Threads: coroutines on any context.
// Errors: aborts when destroyed while held.
// Invariants: fair: who comes first gets it first; a waiting writer holds up later readers. Not
//   recursive.
#pragma once

#include "base/thread_roles.h"
#include "iothreads/co_queue.h"
#include "iothreads/thread_mutex.h"

namespace penstock {

class CAPABILITY("co_rwlock") CoRwLock {
 public:
  CoRwLock() = default;
  ~CoRwLock();

  void co_lock_shared() PENSTOCK_TSA(acquire_shared_capability()) COROUTINE_CODE;
  void unlock_shared() PENSTOCK_TSA(release_shared_capability());
  void co_lock() ACQUIRES() COROUTINE_CODE;
  void unlock() RELEASES();
  // Writer to reader, without letting another writer in between.
  void downgrade() NO_THREAD_SAFETY_ANALYSIS;

 private:
  struct Waiter;
  void co_enter(bool exclusive) COROUTINE_CODE;
  void wake_next() REQUIRES_ROLE(mutex_);

  ThreadMutex mutex_{"CoRwLock"};
  int readers_ GUARDED_BY(mutex_) = 0;
  bool writer_ GUARDED_BY(mutex_) = false;
  Waiter* head_ GUARDED_BY(mutex_) = nullptr;
  Waiter* tail_ GUARDED_BY(mutex_) = nullptr;
};

}  // namespace penstock
