// SPDX-License-Identifier: Apache-2.0
#include "iothreads/thread_mutex.h"

#include "iothreads/fatal.h"

namespace penstock {

#if defined(PENSTOCK_DEBUG_CHECKS)
namespace {

// The mutexes that this thread holds, in the order of locking.
struct HeldMutexes {
  static constexpr int kLimit = 32;
  const ThreadMutex* held[kLimit];
  int count = 0;
};
thread_local HeldMutexes held_mutexes;

[[gnu::noinline]] HeldMutexes& held_by_this_thread() {
  asm volatile("" ::: "memory");
  return held_mutexes;
}

void note_locked(const ThreadMutex* mutex) {
  HeldMutexes& held = held_by_this_thread();
  if (held.count == HeldMutexes::kLimit) fatal("too many thread mutexes held", mutex->name());
  held.held[held.count++] = mutex;
}

void note_unlocked(const ThreadMutex* mutex) {
  HeldMutexes& held = held_by_this_thread();
  for (int i = held.count - 1; i >= 0; --i) {
    if (held.held[i] != mutex) continue;
    for (--held.count; i < held.count; ++i) held.held[i] = held.held[i + 1];
    return;
  }
  fatal("a thread unlocks a mutex that it does not hold", mutex->name());
}

}  // namespace
#endif

void ThreadMutex::lock() NO_THREAD_SAFETY_ANALYSIS {
  mutex_.lock();
#if defined(PENSTOCK_DEBUG_CHECKS)
  note_locked(this);
#endif
}

void ThreadMutex::unlock() NO_THREAD_SAFETY_ANALYSIS {
#if defined(PENSTOCK_DEBUG_CHECKS)
  note_unlocked(this);
#endif
  mutex_.unlock();
}

void assert_no_thread_mutex_held() {
#if defined(PENSTOCK_DEBUG_CHECKS)
  const HeldMutexes& held = held_by_this_thread();
  if (held.count != 0) {
    fatal("a coroutine yields with a thread mutex held", held.held[held.count - 1]->name());
  }
#endif
}

}  // namespace penstock
