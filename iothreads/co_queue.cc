// SPDX-License-Identifier: Apache-2.0
#include "iothreads/co_queue.h"

#include "iothreads/aio_context.h"
#include "iothreads/coroutine.h"
#include "iothreads/fatal.h"

namespace penstock {

// On the stack of the coroutine that waits.
struct CoQueue::Waiter {
  Coroutine* const coroutine = Coroutine::self();
  AioContext* const context = coroutine->context();
  Waiter* next = nullptr;
};

CoQueue::~CoQueue() {
  if (head_ != nullptr) fatal("a CoQueue is destroyed while coroutines wait in it");
}

void CoQueue::append(Waiter* waiter) {
  if (tail_ == nullptr) {
    head_ = waiter;
  } else {
    tail_->next = waiter;
  }
  tail_ = waiter;
}

void CoQueue::co_wait(ThreadMutex& lock) {
  Waiter waiter;
  append(&waiter);
  lock.unlock();
  co_yield_self();
  lock.lock();
}

void CoQueue::co_wait(CoMutex& lock) {
  Waiter waiter;
  append(&waiter);
  lock.unlock();
  co_yield_self();
  lock.co_lock();
}

bool CoQueue::wake_one() {
  Waiter* const first = head_;
  if (first == nullptr) return false;
  head_ = first->next;
  if (head_ == nullptr) tail_ = nullptr;
  first->context->schedule(first->coroutine);
  return true;
}

void CoQueue::wake_all() {
  while (wake_one()) {
  }
}

}  // namespace penstock
