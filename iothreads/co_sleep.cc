// SPDX-License-Identifier: Apache-2.0
#include "iothreads/co_sleep.h"

#include "iothreads/aio_context.h"
#include "iothreads/coroutine.h"

namespace penstock {
namespace {

// A duration too long for the clock is for ever.
Nanoseconds deadline_after(AioContext& context, Nanoseconds duration) {
  const Nanoseconds now = context.now();
  return duration > Nanoseconds::max() - now ? Nanoseconds::max() : now + duration;
}

}  // namespace

void co_sleep(Nanoseconds duration) {
  Coroutine* const self = Coroutine::self();
  Timer timer;
  timer.owner = self;
  timer.fire = [](Timer* fired) {
    auto* const sleeper = static_cast<Coroutine*>(fired->owner);
    sleeper->context()->schedule(sleeper);
  };
  self->context()->timers().start(&timer, deadline_after(*self->context(), duration));
  co_yield_self();
}

bool CoSleep::co_sleep_for(Nanoseconds duration) {
  AioContext& context = *Coroutine::self()->context();
  const bool woken = woken_.co_wait_until(deadline_after(context, duration));
  if (woken) woken_.reset();
  return woken;
}

}  // namespace penstock
