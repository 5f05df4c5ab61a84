// SPDX-License-Identifier: Apache-2.0
// Counts how often each cluster of a window of the image file is referenced, and what the image's
// own refcounts say about them.
//
// Ownership: on the heap of one check.
// Threads: one coroutine.
// Errors: none.
// Invariants: memory: the counters, and two bits a cluster. A count stops at the
//   largest refcount of the image; what is above is told to the caller. 64-bit refcounts are
//   counted up to 2^32 - 1.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace penstock {

class ReferenceCounts {
 public:
  static constexpr uint64_t kMemory = 32 << 20;  // bytes

  // `clusters`: how many there are at most. `memory`: bytes of counters, at least 4.
  ReferenceCounts(unsigned refcount_bits, uint64_t clusters, uint64_t memory);
  ReferenceCounts(const ReferenceCounts&) = delete;
  ReferenceCounts& operator=(const ReferenceCounts&) = delete;

  // Clusters in a window.
  uint64_t window_size() const { return window_size_; }
  // Forgets everything; the window begins at cluster `first`.
  void begin_window(uint64_t first);

  bool contains(uint64_t cluster) const { return cluster - first_ < window_size_; }

  // REQUIRES, of all: contains(cluster).
  // Answers how many of the `times` references a refcount cannot hold.
  uint64_t add(uint64_t cluster, uint64_t times);
  uint64_t get(uint64_t cluster) const;
  // True if `count` stopped at our own limit below `stored`: they may be equal.
  bool is_saturated(uint64_t count, uint64_t stored) const {
    return !counts_excess_ && count == maximum_ && stored >= maximum_;
  }
  // What the image says: exactly one, or that it cannot be read. Neither to start with.
  void set_stored_one(uint64_t cluster) { stored_one_[cluster - first_] = true; }
  void set_unreadable(uint64_t cluster) { unreadable_[cluster - first_] = true; }
  bool stored_one(uint64_t cluster) const { return stored_one_[cluster - first_]; }
  bool unreadable(uint64_t cluster) const { return unreadable_[cluster - first_]; }

 private:
  const unsigned width_;      // bytes of a counter
  const uint64_t maximum_;    // of a count
  const bool counts_excess_;  // the maximum is the image's, not ours
  const uint64_t window_size_;
  uint64_t first_ = 0;
  bool used_ = false;
  std::vector<std::byte> counters_;
  std::vector<bool> stored_one_;
  std::vector<bool> unreadable_;
};

}  // namespace penstock
