// SPDX-License-Identifier: Apache-2.0
#include "iothreads/timer_queue.h"

#include <tuple>

#include "iothreads/fatal.h"

namespace penstock {

bool TimerQueue::Earlier::operator()(const Timer* a, const Timer* b) const {
  return std::tie(a->deadline, a->sequence) < std::tie(b->deadline, b->sequence);
}

void TimerQueue::start(Timer* timer, Nanoseconds deadline) {
  if (timer->armed) fatal("a timer is started twice");
  timer->deadline = deadline;
  timer->sequence = next_sequence_++;
  timer->armed = true;
  timers_.insert(timer);
}

void TimerQueue::cancel(Timer* timer) {
  if (!timer->armed) return;
  timers_.erase(timer);
  timer->armed = false;
}

bool TimerQueue::fire_due(Nanoseconds now) {
  // What a fired timer starts waits for the next call, or a timer that restarts itself at once
  // would keep the loop here.
  const uint64_t end = next_sequence_;
  bool fired = false;
  while (!timers_.empty()) {
    Timer* const timer = *timers_.begin();
    if (timer->deadline > now || timer->sequence >= end) break;
    timers_.erase(timers_.begin());
    timer->armed = false;
    timer->fire(timer);
    fired = true;
  }
  return fired;
}

std::optional<Nanoseconds> TimerQueue::next_deadline() const {
  if (timers_.empty()) return std::nullopt;
  return (*timers_.begin())->deadline;
}

}  // namespace penstock
