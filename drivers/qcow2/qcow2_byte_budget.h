// SPDX-License-Identifier: Apache-2.0
// A number of bytes that requests share, served in the order of their coming.
//
// Ownership: outlives its users.
// Threads: any context.
// Errors: none. Taking more than the whole budget at once is the caller's bug: it would wait for
//   ever, and aborts in debug builds.
// Invariants: what is taken never exceeds the limit. A large request is not overtaken by small ones
//   that come later.
#pragma once

#include <cstdint>
#include <deque>

#include "base/thread_roles.h"
#include "iothreads/co_queue.h"
#include "iothreads/thread_mutex.h"

namespace penstock {

class Qcow2ByteBudget {
 public:
  explicit Qcow2ByteBudget(uint64_t limit) : limit_(limit) {}
  Qcow2ByteBudget(const Qcow2ByteBudget&) = delete;
  Qcow2ByteBudget& operator=(const Qcow2ByteBudget&) = delete;

  void co_take(uint64_t bytes) COROUTINE_CODE;
  void give_back(uint64_t bytes);

  uint64_t limit() const { return limit_; }
  // The most bytes that were taken at any time.
  uint64_t peak();

 private:
  struct Waiter {
    uint64_t bytes;
    bool served = false;
  };

  void take(uint64_t bytes) REQUIRES_ROLE(mutex_);
  bool fits(uint64_t bytes) const REQUIRES_ROLE(mutex_) { return bytes <= limit_ - taken_; }

  const uint64_t limit_;
  ThreadMutex mutex_{"qcow2 byte budget"};
  uint64_t taken_ GUARDED_BY(mutex_) = 0;
  uint64_t peak_ GUARDED_BY(mutex_) = 0;
  // In the same order: who waits, on their stacks, and how to wake them.
  std::deque<Waiter*> waiters_ GUARDED_BY(mutex_);
  CoQueue queue_ GUARDED_BY(mutex_);
};

}  // namespace penstock
