// SPDX-License-Identifier: Apache-2.0
// A bounded cache of slices of the L1 and L2 tables, read without a lock.
//
// A table is read in slices of at most 4 KiB, known by their offset in the file. All slices stand
// in one block of memory of fixed size that is used again and again; each has a sequence count that
// is odd while its words are replaced. A reader copies the words that it wants and looks whether
// the count is still what it was: so a hit takes no lock, writes no shared line, and needs no pin.
//
// Ownership: owned by the driver, which outlives every request; refers to the file's edge.
// Threads: in flight in the image's node, on any context.
// Errors: EIO (and the file's own) when a slice cannot be read; the failure is not kept.
// Invariants: a hit never waits, not for another request's miss either. Requests that miss the same
//   slice share one read. Words past the end of the file are zero in a slice that begins before it;
//   a slice that begins past it is EIO. Memory: the capacity, and one slice a miss under way.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "absl/status/status.h"
#include "base/thread_roles.h"
#include "block/node/child.h"

namespace penstock {

class Qcow2TableCache {
 public:
  // `slice_size`: a power of two, 512 to 4096 bytes. `capacity` in bytes, at least 8 slices; it is
  // rounded up by less than 16 slices.
  Qcow2TableCache(const Child& file, size_t slice_size, size_t capacity);
  Qcow2TableCache(const Qcow2TableCache&) = delete;
  Qcow2TableCache& operator=(const Qcow2TableCache&) = delete;
  ~Qcow2TableCache();

  size_t slice_size() const { return slice_size_; }

  // The big-endian 64-bit words from `offset` of the file on, in the machine's order. REQUIRES: the
  // offset is a multiple of 8, and all words lie in one slice (slices begin at multiples of their
  // size).
  absl::Status co_read(uint64_t offset, std::span<uint64_t> words) IO_CODE;
  // The same if the slice is in the cache; else false. Never yields.
  bool try_read(uint64_t offset, std::span<uint64_t> words);

  struct Statistics {
    std::atomic<uint64_t> misses{0};  // slices read from the file; who shares a read counts not
    std::atomic<uint64_t> evictions{0};
  };
  const Statistics& statistics() const { return statistics_; }

 private:
  struct State;

  absl::Status co_read_missed(uint64_t offset, std::span<uint64_t> words) IO_CODE;

  const Child& file_;
  const size_t slice_size_;
  Statistics statistics_;
  const std::unique_ptr<State> state_;
};

}  // namespace penstock
