// SPDX-License-Identifier: Apache-2.0
// A mutex for coroutines: first in, first out, handed over, never spun for.
//
// Ownership: outlives its holders and waiters.
// Threads: coroutines on any context. The holder may continue on another context.
// Errors: aborts when destroyed while held, or unlocked by a coroutine that does not hold it
//   (debug).
// Invariants: an unlock gives the mutex to the waiter that came first. A thread that is stopped
//   inside lock() delays nobody who holds or unlocks. The woken continue on the context where they
//   yielded.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/thread_roles.h"

namespace penstock {

class Coroutine;

class CAPABILITY("co_mutex") CoMutex {
 public:
  CoMutex() = default;
  CoMutex(const CoMutex&) = delete;
  CoMutex& operator=(const CoMutex&) = delete;
  ~CoMutex();

  void co_lock() ACQUIRES() COROUTINE_CODE;
  bool try_lock() TRY_ACQUIRES(true) COROUTINE_CODE;
  void unlock() RELEASES();

 private:
  struct Waiter;
  // kFree, kHeld, or the newest waiter that the holder has not yet seen.
  std::atomic<uintptr_t> state_{0};
  // The holder's: waiters in the order of their coming.
  Waiter* queue_ = nullptr;
  Coroutine* holder_ = nullptr;
};

class SCOPED_CAPABILITY CoMutexLock {
 public:
  explicit CoMutexLock(CoMutex& mutex) ACQUIRES(mutex) : mutex_(mutex) { co_acquire(); }
  CoMutexLock(const CoMutexLock&) = delete;
  CoMutexLock& operator=(const CoMutexLock&) = delete;
  ~CoMutexLock() RELEASES() { mutex_.unlock(); }

 private:
  void co_acquire() NO_THREAD_SAFETY_ANALYSIS;
  CoMutex& mutex_;
};

}  // namespace penstock
