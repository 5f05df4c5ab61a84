// SPDX-License-Identifier: Apache-2.0
// One operation that a poller carries: a system call that is done elsewhere and completes later.
//
// Ownership: the submitter owns it, usually on its coroutine's stack, until it has completed.
//   Memory that it names outlives it likewise.
// Threads: submitted and completed on one context's thread.
// Errors: `result` is the system call's: a count, or a negative errno.
// Invariants: between submit and completion nobody touches it but the poller; `complete` is called
//   exactly once, from the loop, never from inside submit.
#pragma once

#include <sys/uio.h>

#include <cstdint>

namespace penstock {

class Coroutine;

enum class IoOpcode : uint8_t {
  kReadv,      // fd, iov, iov_count, offset; rw_flags (RWF_*)
  kWritev,     // fd, iov, iov_count, offset; rw_flags
  kFsync,      // fd; fdatasync semantics
  kFallocate,  // fd, mode, offset, length
  kPoll,       // fd, events (POLLIN...); result: the events that came
  kNop,        // completes with 0
};

struct IoOperation {
  IoOpcode opcode = IoOpcode::kNop;
  int fd = -1;
  const iovec* iov = nullptr;
  uint32_t iov_count = 0;
  uint64_t offset = 0;  // bytes
  uint64_t length = 0;  // bytes
  uint32_t mode = 0;    // fallocate's mode, or poll's events, or RWF_ flags
  int32_t result = 0;

  // Called from the loop with this operation when it has completed.
  void (*complete)(IoOperation*) = nullptr;
  // For `complete`: whatever the submitter needs, commonly the waiting coroutine.
  void* owner = nullptr;

  IoOperation* next = nullptr;  // the poller's and the loop's own use
};

}  // namespace penstock
