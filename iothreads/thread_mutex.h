// SPDX-License-Identifier: Apache-2.0
// A plain mutex for sections that never yield.
//
// Ownership: embedded in what it guards.
// Threads: any; also inside a coroutine, as long as it does not yield while holding it.
// Errors: a debug build aborts, naming the lock, when a coroutine yields with one held.
// Invariants: held for a few instructions; no system call that may wait below it.
#pragma once

#include <mutex>

#include "base/thread_roles.h"

namespace penstock {

class CAPABILITY("mutex") ThreadMutex {
 public:
  // `name` is a literal; it appears in the abort's message.
  explicit ThreadMutex(const char* name) : name_(name) {}
  ThreadMutex(const ThreadMutex&) = delete;
  ThreadMutex& operator=(const ThreadMutex&) = delete;

  void lock() ACQUIRES();
  void unlock() RELEASES();
  const char* name() const { return name_; }

 private:
  friend class ThreadCondition;
  std::mutex mutex_;
  const char* const name_;
};

class SCOPED_CAPABILITY ThreadLock {
 public:
  explicit ThreadLock(ThreadMutex& mutex) ACQUIRES(mutex) : mutex_(mutex) { mutex_.lock(); }
  ThreadLock(const ThreadLock&) = delete;
  ThreadLock& operator=(const ThreadLock&) = delete;
  ~ThreadLock() RELEASES() { mutex_.unlock(); }

 private:
  ThreadMutex& mutex_;
};

// Aborts in debug builds, naming a ThreadMutex that the calling thread holds. Called at each yield.
void assert_no_thread_mutex_held();

}  // namespace penstock
