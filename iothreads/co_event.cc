// SPDX-License-Identifier: Apache-2.0
#include "iothreads/co_event.h"

#include "base/sync_point.h"
#include "iothreads/aio_context.h"
#include "iothreads/coroutine.h"
#include "iothreads/fatal.h"

namespace penstock {

// On the stack of the coroutine that waits. The list is linked both ways, since a timeout leaves it
// from the middle.
struct CoEvent::Waiter {
  CoEvent* const event;
  Coroutine* const coroutine;
  AioContext* const context;
  Timer timer;
  Waiter* next = nullptr;
  Waiter* previous = nullptr;
  bool queued = true;
  bool set = false;
};

CoEvent::~CoEvent() {
  // Taking the lock also waits for a set() that has just woken the destroyer.
  const ThreadLock lock(mutex_);
  if (head_ != nullptr) fatal("a CoEvent is destroyed while coroutines wait for it");
}

void CoEvent::set() {
  const ThreadLock lock(mutex_);
  set_ = true;
  Waiter* waiter = head_;
  head_ = tail_ = nullptr;
  while (waiter != nullptr) {
    Waiter* const next = waiter->next;  // the waiter may be gone once it is scheduled
    waiter->queued = false;
    waiter->set = true;
    waiter->context->schedule(waiter->coroutine);
    waiter = next;
  }
}

void CoEvent::reset() {
  const ThreadLock lock(mutex_);
  set_ = false;
}

bool CoEvent::is_set() {
  const ThreadLock lock(mutex_);
  return set_;
}

void CoEvent::co_wait() { co_wait_with(std::nullopt); }

bool CoEvent::co_wait_until(Nanoseconds deadline) { return co_wait_with(deadline); }

bool CoEvent::co_wait_with(std::optional<Nanoseconds> deadline) {
  Coroutine* const self = Coroutine::self();
  AioContext* const context = self->context();
  Waiter waiter{this, self, context, Timer{}};
  {
    const ThreadLock lock(mutex_);
    if (set_) return true;
    waiter.previous = tail_;
    if (tail_ == nullptr) {
      head_ = &waiter;
    } else {
      tail_->next = &waiter;
    }
    tail_ = &waiter;
  }
  if (deadline.has_value()) {
    waiter.timer.fire = time_out;
    waiter.timer.owner = &waiter;
    context->timers().start(&waiter.timer, *deadline);
  }
  PENSTOCK_SYNC_POINT("co_event:queued");
  co_yield_self();
  // It continues on the context where it yielded, which is the timer's.
  context->timers().cancel(&waiter.timer);
  return waiter.set;
}

void CoEvent::time_out(Timer* timer) {
  auto* const waiter = static_cast<Waiter*>(timer->owner);
  CoEvent& event = *waiter->event;
  const ThreadLock lock(event.mutex_);
  // If set() came first, it has scheduled the coroutine, which has not run yet.
  if (!waiter->queued) return;
  waiter->queued = false;
  (waiter->previous == nullptr ? event.head_ : waiter->previous->next) = waiter->next;
  (waiter->next == nullptr ? event.tail_ : waiter->next->previous) = waiter->previous;
  waiter->context->schedule(waiter->coroutine);
}

}  // namespace penstock
