// SPDX-License-Identifier: Apache-2.0
#include "block/job/job_pace.h"

#include <algorithm>
#include <chrono>

#include "iothreads/aio_context.h"

namespace penstock {
namespace {

// How far a job may run ahead of its speed: else it would wait after each piece.
constexpr Nanoseconds kAhead = std::chrono::milliseconds(100);
// The longest that one piece is paid for; a speed of a byte a second must not stop a job for years
// after its speed was raised again, nor overflow.
constexpr double kLongestDebt = 1e18;

Nanoseconds time_of(uint64_t bytes, uint64_t speed) {
  const double time = static_cast<double>(bytes) * 1e9 / static_cast<double>(speed);
  return Nanoseconds(static_cast<int64_t>(std::min(time, kLongestDebt)));
}

}  // namespace

JobPace::Worker::~Worker() { pace_.leave(*this); }

bool JobPace::Worker::co_pass(uint64_t bytes) {
  while (true) {
    CoEvent changed;
    const Answer answer = pace_.ask(*this, bytes, AioContext::current()->now(), changed);
    if (answer.kind == Answer::Kind::kGo) return true;
    pace_.leave(*this);
    if (answer.kind == Answer::Kind::kStop) return false;
    if (answer.until == Nanoseconds{0}) {
      changed.co_wait();
    } else {
      changed.co_wait_until(answer.until);
    }
    pace_.forget(changed);
  }
}

bool JobPace::Worker::co_rest(Nanoseconds duration) {
  pace_.leave(*this);
  const Nanoseconds end = AioContext::current()->now() + duration;
  while (!pace_.stopped() && AioContext::current()->now() < end) {
    CoEvent changed;
    {
      const ThreadLock lock(pace_.mutex_);
      pace_.waiters_.push_back(&changed);
      if (pace_.stopped_) changed.set();
    }
    changed.co_wait_until(end);
    pace_.forget(changed);
  }
  return !pace_.stopped();
}

void JobPace::co_wait_stopped() {
  while (!stopped()) {
    CoEvent changed;
    {
      const ThreadLock lock(mutex_);
      waiters_.push_back(&changed);
      if (stopped_) changed.set();
    }
    changed.co_wait();
    forget(changed);
  }
}

void JobPace::hold() {
  const ThreadLock lock(mutex_);
  held_ = true;
}

void JobPace::release() {
  const ThreadLock lock(mutex_);
  held_ = false;
  wake_all();
}

void JobPace::stop() {
  const ThreadLock lock(mutex_);
  stopped_ = true;
  wake_all();
}

bool JobPace::stopped() const {
  const ThreadLock lock(mutex_);
  return stopped_;
}

void JobPace::set_speed(uint64_t speed) {
  const ThreadLock lock(mutex_);
  speed_ = speed;
  ++speeds_;
  empty_at_ = Nanoseconds{0};
  wake_all();
}

uint64_t JobPace::speed() const {
  const ThreadLock lock(mutex_);
  return speed_;
}

bool JobPace::idle() const {
  const ThreadLock lock(mutex_);
  return working_ == 0;
}

void JobPace::refund(const Worker& worker, uint64_t bytes) {
  const ThreadLock lock(mutex_);
  // What was paid at another speed was forgiven when it changed.
  if (speed_ == 0 || bytes == 0 || worker.paid_at_ != speeds_) return;
  empty_at_ -= time_of(bytes, speed_);
  wake_all();
}

JobPace::Answer JobPace::ask(Worker& worker, uint64_t bytes, Nanoseconds now, CoEvent& changed) {
  const ThreadLock lock(mutex_);
  if (stopped_) return {Answer::Kind::kStop};
  const Nanoseconds ready = empty_at_ - kAhead;
  const bool too_fast = speed_ != 0 && now < ready;
  if (held_ || too_fast) {
    waiters_.push_back(&changed);
    return {Answer::Kind::kWait, held_ ? Nanoseconds{0} : ready};
  }
  if (speed_ != 0) empty_at_ = std::max(empty_at_, now) + time_of(bytes, speed_);
  worker.paid_at_ = speeds_;
  if (!worker.working_) ++working_;
  worker.working_ = true;
  return {Answer::Kind::kGo};
}

void JobPace::forget(CoEvent& changed) {
  const ThreadLock lock(mutex_);
  std::erase(waiters_, &changed);
}

void JobPace::leave(Worker& worker) {
  bool tell = false;
  {
    const ThreadLock lock(mutex_);
    if (!worker.working_) return;
    worker.working_ = false;
    tell = --working_ == 0 && held_;
  }
  if (tell && on_idle_) on_idle_();
}

void JobPace::wake_all() {
  for (CoEvent* waiter : waiters_) waiter->set();
  waiters_.clear();
}

}  // namespace penstock
