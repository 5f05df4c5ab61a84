// SPDX-License-Identifier: Apache-2.0
#include "iothreads/thread_condition.h"

#include "iothreads/coroutine.h"

namespace penstock {

void ThreadCondition::wait(ThreadMutex& mutex) {
  assert_not_in_coroutine();
  std::unique_lock lock(mutex.mutex_, std::adopt_lock);
  condition_.wait(lock);
  lock.release();
}

bool ThreadCondition::wait_for(ThreadMutex& mutex, std::chrono::nanoseconds limit) {
  assert_not_in_coroutine();
  std::unique_lock lock(mutex.mutex_, std::adopt_lock);
  const auto outcome = condition_.wait_for(lock, limit);
  lock.release();
  return outcome == std::cv_status::no_timeout;
}

}  // namespace penstock
