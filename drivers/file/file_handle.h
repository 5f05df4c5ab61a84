// SPDX-License-Identifier: Apache-2.0
// An open file or block device, and what has been learnt about it.
//
// Ownership: owns the descriptor.
// Threads: constant after opening, except the facts, which any request may learn.
// Errors: none.
// Invariants: a fact goes from true to false once and never back; size_seen never exceeds the
//   largest size that the file has had since it was opened or last resized.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "base/unique_fd.h"
#include "block/node/limits.h"

namespace penstock {

struct FileHandle {
  // Constant.
  UniqueFd fd;
  std::string path;
  bool block_device = false;
  bool writable = false;
  bool direct = false;     // O_DIRECT
  bool in_memory = false;  // tmpfs: plain calls never wait for a device
  bool unmap = true;       // discards and zeroes may deallocate
  uint64_t opened_size = 0;
  Limits limits;

  // Facts: the first refusal by the kernel is remembered.
  std::atomic<bool> nowait_reads{true};
  std::atomic<bool> nowait_writes{true};
  std::atomic<bool> can_punch{true};
  std::atomic<bool> can_zero_range{true};
  std::atomic<bool> can_discard_blocks{true};
  std::atomic<bool> can_seek_data{true};
  // Bytes that the file is known to have.
  std::atomic<uint64_t> size_seen{0};

  void saw_size(uint64_t size) {
    uint64_t seen = size_seen.load(std::memory_order_relaxed);
    while (seen < size && !size_seen.compare_exchange_weak(seen, size, std::memory_order_relaxed)) {
    }
  }
};

// True for the errors by which a kernel or filesystem says that it has no such operation.
bool means_unsupported(int error_number);

}  // namespace penstock
