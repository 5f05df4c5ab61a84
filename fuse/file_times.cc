// SPDX-License-Identifier: Apache-2.0
#include "fuse/file_times.h"

#include <algorithm>

namespace penstock {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

int64_t to_nanoseconds(timespec time) { return time.tv_sec * kSecond + time.tv_nsec; }

timespec to_timespec(int64_t time) {
  timespec result{time / kSecond, time % kSecond};
  if (result.tv_nsec < 0) {
    result.tv_nsec += kSecond;
    result.tv_sec -= 1;
  }
  return result;
}

// Coarse: a few milliseconds, as local filesystems have it, and free of a system call.
int64_t current_time() {
  timespec now;
  clock_gettime(CLOCK_REALTIME_COARSE, &now);
  return to_nanoseconds(now);
}

}  // namespace

FileTimes::FileTimes(timespec start)
    : atime_(to_nanoseconds(start)), mtime_(atime_), ctime_(atime_) {}

void FileTimes::note_write(unsigned context_slot) {
  std::atomic<int64_t>& last = last_writes_[context_slot].time;
  const int64_t now = current_time();
  if (now > last.load(std::memory_order_relaxed)) last.store(now, std::memory_order_relaxed);
}

void FileTimes::set(std::optional<timespec> atime, std::optional<timespec> mtime) {
  const int64_t now = current_time();
  ThreadLock lock(mutex_);
  if (atime) atime_ = to_nanoseconds(*atime);
  if (mtime) {
    mtime_ = to_nanoseconds(*mtime);
    mtime_was_set_at_ = now;
  }
  ctime_ = std::max(ctime_, now);
}

FileTimes::Snapshot FileTimes::read() {
  int64_t last_write = 0;
  for (const LastWrite& last : last_writes_) {
    last_write = std::max(last_write, last.time.load(std::memory_order_relaxed));
  }
  ThreadLock lock(mutex_);
  int64_t mtime = mtime_;
  if (last_write > mtime_was_set_at_) {
    mtime = mtime_was_set_at_ == 0 ? std::max(mtime_, last_write) : last_write;
  }
  return {to_timespec(atime_), to_timespec(mtime), to_timespec(std::max(ctime_, last_write))};
}

}  // namespace penstock
