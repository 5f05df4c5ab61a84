// SPDX-License-Identifier: Apache-2.0
#include "iothreads/coroutine.h"

#include "base/sync_point.h"
#include "iothreads/aio_context.h"
#include "iothreads/coroutine_impl.h"
#include "iothreads/fatal.h"
#include "iothreads/thread_mutex.h"

namespace penstock {
namespace {

thread_local CoroutineImpl* running = nullptr;

// Out of line, so that the address of the thread-local is never kept over a yield.
[[gnu::noinline]] CoroutineImpl* running_coroutine() {
  asm volatile("" ::: "memory");
  return running;
}

// A coroutine yields nowhere else.
void leave_to_loop(CoroutineImpl* self) {
  if (self == nullptr) fatal("a yield outside any coroutine");
  assert_no_thread_mutex_held();
  self->leave();
}

}  // namespace

[[gnu::noinline]] void set_running_coroutine(CoroutineImpl* coroutine) {
  running = coroutine;
  asm volatile("" ::: "memory");
}

Coroutine* Coroutine::self() { return running_coroutine(); }

void co_yield_self() {
  PENSTOCK_SYNC_POINT("coroutine:yield");
  leave_to_loop(running_coroutine());
}

void co_reschedule_self(AioContext& target) {
  CoroutineImpl* const self = running_coroutine();
  if (self == nullptr) fatal("co_reschedule_self() outside any coroutine");
  if (self->context() == &target) return;
  self->request = CoroutineImpl::Request::kMove;
  self->move_target = &target;
  leave_to_loop(self);
}

void co_pause() {
  CoroutineImpl* const self = running_coroutine();
  if (self == nullptr) fatal("co_pause() outside any coroutine");
  self->context()->schedule(self);
  leave_to_loop(self);
}

void assert_in_coroutine() NO_THREAD_SAFETY_ANALYSIS {
#if defined(PENSTOCK_DEBUG_CHECKS)
  if (running_coroutine() == nullptr) fatal("coroutine code runs outside any coroutine");
#endif
}

void assert_not_in_coroutine() {
#if defined(PENSTOCK_DEBUG_CHECKS)
  if (const CoroutineImpl* const self = running_coroutine()) {
    fatal("code that may block runs in a coroutine", self->name());
  }
#endif
}

}  // namespace penstock
