// SPDX-License-Identifier: Apache-2.0
// Which clusters of a snapshot have been copied, and who copies the others.
//
// Ownership: part of a driver. A claim is shared by who copies and who waits for it.
// Threads: every function from any thread, many at once; none waits.
// Errors: none.
// Invariants: a copied cluster stays so. A cluster is in at most one claim, and no copied one is in
//   any. Looking whether something is copied takes no lock and writes nothing.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "base/byte_range.h"
#include "iothreads/co_event.h"
#include "iothreads/thread_mutex.h"

namespace penstock {

class CopiedClusters {
 public:
  // A run of clusters that somebody copies.
  struct Claim {
    explicit Claim(ByteRange claimed) : range(claimed) {}

    const ByteRange range;  // bytes; cut off at the end of the snapshot
    absl::Status outcome;   // set before `ended`
    uint64_t moved = 0;     // bytes of data; set before `ended`
    CoEvent begun;          // for claims whose copying has a coroutine of its own
    CoEvent ended;
  };
  struct Turn {
    std::shared_ptr<Claim> claim;  // none: everything is copied
    bool mine = false;             // else somebody else is at it
  };

  // Bytes; `granularity` is a power of two.
  CopiedClusters(uint64_t size, uint64_t granularity);

  uint64_t size() const { return size_; }
  uint64_t granularity() const { return granularity_; }
  uint64_t remaining_bytes() const { return remaining_.load(std::memory_order_relaxed); }

  // True if no cluster that `range` touches is still to be copied.
  bool all_copied(ByteRange range) const;
  // The first clusters from `offset` on that are still to be copied, or are being copied; of at
  // most `longest` bytes, but at least one cluster.
  std::optional<ByteRange> next_uncopied(uint64_t offset, uint64_t longest) const;

  // The first clusters that `range` touches and that are not copied: claimed for the caller, at
  // most `longest` bytes (at least one cluster), or the claim of who is at the first of them.
  Turn claim_first(ByteRange range, uint64_t longest);
  // Ends a claim as its outcome says, and wakes who waits for it.
  void finish(Claim& claim);

 private:
  static constexpr uint64_t kWordBits = 64;

  bool is_copied(uint64_t cluster) const {
    const uint64_t word = words_[cluster / kWordBits].load(std::memory_order_acquire);
    return ((word >> (cluster % kWordBits)) & 1) != 0;
  }
  // The first cluster of [first, end) that is not copied, or `end`.
  uint64_t first_uncopied(uint64_t first, uint64_t end) const;
  ByteRange bytes_of(uint64_t first, uint64_t end) const;
  uint64_t end_cluster(uint64_t end) const;
  Claim* claim_at(uint64_t cluster) const REQUIRES_ROLE(mutex_);

  const uint64_t size_;
  const uint64_t granularity_;
  std::vector<std::atomic<uint64_t>> words_;  // a bit a cluster: copied
  std::atomic<uint64_t> remaining_;
  ThreadMutex mutex_{"CopiedClusters"};
  std::vector<std::shared_ptr<Claim>> claims_ GUARDED_BY(mutex_);
};

}  // namespace penstock
