// SPDX-License-Identifier: Apache-2.0
#include "drivers/qcow2/qcow2_byte_budget.h"

#include <algorithm>
#include <cassert>

namespace penstock {

void Qcow2ByteBudget::co_take(uint64_t bytes) {
  assert(bytes <= limit_);
  const ThreadLock lock(mutex_);
  if (waiters_.empty() && fits(bytes)) {
    take(bytes);
    return;
  }
  Waiter waiter{bytes};
  waiters_.push_back(&waiter);
  // Whoever gives back takes for the first in line, so that nobody slips in before it runs.
  while (!waiter.served) queue_.co_wait(mutex_);
}

void Qcow2ByteBudget::give_back(uint64_t bytes) {
  const ThreadLock lock(mutex_);
  taken_ -= bytes;
  while (!waiters_.empty() && fits(waiters_.front()->bytes)) {
    take(waiters_.front()->bytes);
    waiters_.front()->served = true;
    waiters_.pop_front();
    queue_.wake_one();
  }
}

uint64_t Qcow2ByteBudget::peak() {
  const ThreadLock lock(mutex_);
  return peak_;
}

void Qcow2ByteBudget::take(uint64_t bytes) {
  taken_ += bytes;
  peak_ = std::max(peak_, taken_);
}

}  // namespace penstock
