// SPDX-License-Identifier: Apache-2.0
// The slices of tables that are in memory: one block of fixed size, read without a lock while it is
// written.
//
// A slice's place is one of eight that its offset decides. Each place has a sequence count that is
// odd while its words are replaced. A reader copies the words that it wants, and they are right if
// the count is still what it was.
//
// Ownership: owns the block, which lives as long as the pool: a reader needs no pin, and nothing is
//   ever reclaimed.
// Threads: read() by any thread at any time; insert() by one at a time (the caller's lock).
// Errors: none.
// Invariants: read() never waits and writes nothing, but for one bit the first time that a slice is
//   read after it came in or was passed over by a replacement. Untouched parts of the block cost no
//   memory.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "base/aligned_buffer.h"

namespace penstock {

class Qcow2SlicePool {
 public:
  // `slice_size`: a power of two, at least 512 bytes. `capacity` in bytes, rounded up to an odd
  // number of sets of eight slices.
  Qcow2SlicePool(size_t slice_size, size_t capacity);
  Qcow2SlicePool(const Qcow2SlicePool&) = delete;
  Qcow2SlicePool& operator=(const Qcow2SlicePool&) = delete;

  // Copies the words from `offset` (bytes in the file) on, all of one slice. False if the slice is
  // not here, or is being replaced at this moment.
  bool read(uint64_t offset, std::span<uint64_t> words);

  // Puts in the slice that begins at `offset`, from its big-endian bytes. REQUIRES: it is not here.
  // True if another slice went for it.
  bool insert(uint64_t offset, std::span<const std::byte> bytes);

  // Bytes of all slices.
  size_t capacity() const { return words_.size(); }

 private:
  static constexpr size_t kWays = 8;

  // What a lookup scans is one cache line, the counts are the second.
  struct alignas(64) Set {
    // The offset of the slice in each place, with kReferenced; or kEmpty.
    std::atomic<uint64_t> tags[kWays];
    std::atomic<uint64_t> counts[kWays];
    unsigned hand = 0;  // insert()'s: where the search for a victim goes on
  };

  size_t set_index(uint64_t offset) const;
  uint64_t* words_of(size_t set, size_t way) const;
  static size_t choose_way(Set& set);

  const size_t slice_size_;
  const unsigned slice_bits_;
  const uint32_t set_count_;
  const std::unique_ptr<Set[]> sets_;
  const AlignedBuffer words_;
};

}  // namespace penstock
