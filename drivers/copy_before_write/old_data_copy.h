// SPDX-License-Identifier: Apache-2.0
// Copies a run of clusters from one child to another, zeroes as zeroes.
//
// Ownership: borrows the edges.
// Threads: a coroutine on any context, in flight in the edges' parent.
// Errors: those of the reads and writes. A failed copy may have written a part.
// Invariants: at most one MiB, or one cluster, of memory.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "base/byte_range.h"
#include "base/thread_roles.h"
#include "block/node/child.h"

namespace penstock {

// Longest run that is copied at a time, if clusters are not longer; bytes.
inline constexpr uint64_t kLongestCopy = 1 << 20;

// True if a failed copy failed at its target; else it is the source's failure.
bool failed_at_target(const absl::Status& status);

struct OldDataCopy {
  const Child& source;
  const Child& target;
  uint64_t granularity;   // bytes
  bool skip_unallocated;  // what the source's top image does not decide is left out

  // `range` begins at a cluster and ends at one, or at the end of what is to be copied. `moved` is
  // raised by the bytes of data written.
  absl::Status co_run(ByteRange range, uint64_t& moved) const IO_CODE;

 private:
  enum class Kind : uint8_t { kData, kZero, kSkipped };
  struct Part {
    Kind kind;
    uint64_t length;
  };
  Part co_look(ByteRange range) const IO_CODE;
  absl::Status co_move(ByteRange range) const IO_CODE;
};

}  // namespace penstock
