// SPDX-License-Identifier: Apache-2.0
#include "iothreads/co_mutex.h"

#include <utility>

#include "base/sync_point.h"
#include "iothreads/aio_context.h"
#include "iothreads/coroutine.h"
#include "iothreads/fatal.h"

namespace penstock {
namespace {

// Values of the state that are no waiter's address.
constexpr uintptr_t kFree = 0;
constexpr uintptr_t kHeld = 1;

}  // namespace

// On the stack of the coroutine that waits.
struct CoMutex::Waiter {
  Coroutine* const coroutine;
  AioContext* const context;
  Waiter* next = nullptr;  // first towards the one that came before, later the one that came after

  static Waiter* from(uintptr_t state) {
    return state == kHeld ? nullptr : reinterpret_cast<Waiter*>(state);
  }
};

CoMutex::~CoMutex() {
  if (state_.load(std::memory_order_relaxed) != kFree) fatal("a CoMutex is destroyed while held");
}

bool CoMutex::try_lock() NO_THREAD_SAFETY_ANALYSIS {
  uintptr_t expected = kFree;
  if (!state_.compare_exchange_strong(expected, kHeld, std::memory_order_acquire,
                                      std::memory_order_relaxed)) {
    return false;
  }
  holder_ = Coroutine::self();
  ++holder_->locks_held;
  return true;
}

void CoMutex::co_lock() NO_THREAD_SAFETY_ANALYSIS {
  if (try_lock()) return;
  Coroutine* const self = Coroutine::self();
  Waiter waiter{self, self->context()};
  uintptr_t state = state_.load(std::memory_order_relaxed);
  for (;;) {
    if (state == kFree) {
      if (try_lock()) return;
      state = state_.load(std::memory_order_relaxed);
      continue;
    }
    waiter.next = Waiter::from(state);
    PENSTOCK_SYNC_POINT("co_mutex:queueing");
    if (state_.compare_exchange_weak(state, reinterpret_cast<uintptr_t>(&waiter),
                                     std::memory_order_release, std::memory_order_relaxed)) {
      break;
    }
  }
  PENSTOCK_SYNC_POINT("co_mutex:queued");
  co_yield_self();
  // unlock() has made this coroutine the holder.
  ++self->locks_held;
}

void CoMutex::unlock() NO_THREAD_SAFETY_ANALYSIS {
#if defined(PENSTOCK_DEBUG_CHECKS)
  if (Coroutine::self() == nullptr || holder_ != Coroutine::self()) {
    fatal("a CoMutex is unlocked by a coroutine that does not hold it");
  }
#endif
  --Coroutine::self()->locks_held;
  holder_ = nullptr;
  if (queue_ == nullptr) {
    uintptr_t expected = kHeld;
    if (state_.compare_exchange_strong(expected, kFree, std::memory_order_release,
                                       std::memory_order_relaxed)) {
      return;
    }
    // The newcomers, newest first, become the queue, oldest first.
    Waiter* newest = Waiter::from(state_.exchange(kHeld, std::memory_order_acquire));
    while (newest != nullptr) {
      Waiter* const older = std::exchange(newest->next, queue_);
      queue_ = std::exchange(newest, older);
    }
  }
  Waiter* const first = queue_;
  queue_ = first->next;
  holder_ = first->coroutine;
  first->context->schedule(first->coroutine);
  // The mutex may be gone: it belongs to `first` now.
}

void CoMutexLock::co_acquire() NO_THREAD_SAFETY_ANALYSIS { mutex_.co_lock(); }

}  // namespace penstock
