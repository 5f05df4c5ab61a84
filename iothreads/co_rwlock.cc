// SPDX-License-Identifier: Apache-2.0
#include "iothreads/co_rwlock.h"

#include "iothreads/aio_context.h"
#include "iothreads/coroutine.h"
#include "iothreads/fatal.h"

namespace penstock {

// On the stack of the coroutine that waits.
struct CoRwLock::Waiter {
  Coroutine* const coroutine;
  AioContext* const context;
  const bool exclusive;
  Waiter* next = nullptr;
};

CoRwLock::~CoRwLock() {
  const ThreadLock lock(mutex_);
  if (readers_ != 0 || writer_) fatal("a CoRwLock is destroyed while held");
}

void CoRwLock::co_lock_shared() NO_THREAD_SAFETY_ANALYSIS { co_enter(/*exclusive=*/false); }
void CoRwLock::co_lock() NO_THREAD_SAFETY_ANALYSIS { co_enter(/*exclusive=*/true); }

void CoRwLock::co_enter(bool exclusive) {
  Coroutine* const self = Coroutine::self();
  Waiter waiter{self, self->context(), exclusive};
  bool granted = false;
  {
    const ThreadLock lock(mutex_);
    if (head_ == nullptr && !writer_ && (readers_ == 0 || !exclusive)) {
      granted = true;
      if (exclusive) {
        writer_ = true;
      } else {
        ++readers_;
      }
    } else if (tail_ == nullptr) {
      head_ = tail_ = &waiter;
    } else {
      tail_->next = &waiter;
      tail_ = &waiter;
    }
  }
  // wake_next() counts a waiter in before it wakes it.
  if (!granted) co_yield_self();
  ++self->locks_held;
}

void CoRwLock::unlock_shared() NO_THREAD_SAFETY_ANALYSIS {
  --Coroutine::self()->locks_held;
  const ThreadLock lock(mutex_);
  --readers_;
  wake_next();
}

void CoRwLock::unlock() NO_THREAD_SAFETY_ANALYSIS {
  --Coroutine::self()->locks_held;
  const ThreadLock lock(mutex_);
  writer_ = false;
  wake_next();
}

void CoRwLock::downgrade() NO_THREAD_SAFETY_ANALYSIS {
  const ThreadLock lock(mutex_);
  writer_ = false;
  readers_ = 1;
  wake_next();
}

void CoRwLock::wake_next() {
  while (head_ != nullptr && !writer_ && (readers_ == 0 || !head_->exclusive)) {
    Waiter* const first = head_;
    head_ = first->next;
    if (head_ == nullptr) tail_ = nullptr;
    if (first->exclusive) {
      writer_ = true;
    } else {
      ++readers_;
    }
    first->context->schedule(first->coroutine);
  }
}

}  // namespace penstock
