// SPDX-License-Identifier: Apache-2.0
// The times that the file shows: the image's own at start, then those of the writes through us.
//
// Ownership: embedded in a session.
// Threads: any.
// Errors: none.
// Invariants: without set() times never go back. note_write() writes a cache line of its context
//   alone.
#pragma once

#include <time.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>

#include "base/thread_roles.h"
#include "iothreads/aio_context.h"
#include "iothreads/thread_mutex.h"

namespace penstock {

class FileTimes {
 public:
  struct Snapshot {
    timespec atime;
    timespec mtime;
    timespec ctime;
  };

  explicit FileTimes(timespec start);

  // The contents changed now. `context_slot` is the running context's.
  void note_write(unsigned context_slot);
  // What utimensat(2) asks for; nothing leaves a time as it is.
  void set(std::optional<timespec> atime, std::optional<timespec> mtime);
  Snapshot read();

 private:
  struct alignas(64) LastWrite {
    std::atomic<int64_t> time{0};  // nanoseconds since the epoch
  };
  std::array<LastWrite, kMaxContexts> last_writes_;
  ThreadMutex mutex_{"FileTimes"};
  int64_t atime_ GUARDED_BY(mutex_);
  int64_t mtime_ GUARDED_BY(mutex_);
  int64_t ctime_ GUARDED_BY(mutex_);
  int64_t mtime_was_set_at_ GUARDED_BY(mutex_) = 0;
};

}  // namespace penstock
