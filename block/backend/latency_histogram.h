// SPDX-License-Identifier: Apache-2.0
// How many requests took how long, in bins that a person chose.
//
// Ownership: a request's statistics own it; freed only after co_pass_all_contexts() once requests
//   could see it.
// Threads: count() in the own context's slot only; everything else by anyone.
// Errors: see create().
// Invariants: each line is written by one context alone. Bin i counts what took at least
//   boundaries[i - 1] and less than boundaries[i] nanoseconds; the last bin has no upper end.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "iothreads/aio_context.h"

namespace penstock {

class LatencyHistogram {
 public:
  static constexpr size_t kMaxBoundaries = 256;

  // Nanoseconds. EINVAL unless each is larger than the one before and the first is above 0, or if
  // there are none or more than kMaxBoundaries.
  static absl::StatusOr<std::unique_ptr<LatencyHistogram>> create(std::vector<uint64_t> boundaries);
  LatencyHistogram(const LatencyHistogram&) = delete;
  LatencyHistogram& operator=(const LatencyHistogram&) = delete;

  void count(unsigned slot, uint64_t nanoseconds);

  const std::vector<uint64_t>& boundaries() const { return boundaries_; }
  // Sums over all contexts: one more than there are boundaries.
  std::vector<uint64_t> bins() const;

 private:
  static constexpr size_t kBinsPerLine = 8;
  struct alignas(64) Line {
    std::atomic<uint64_t> bins[kBinsPerLine] = {};
  };
  explicit LatencyHistogram(std::vector<uint64_t> boundaries);

  const std::vector<uint64_t> boundaries_;
  const size_t lines_per_slot_;
  const std::unique_ptr<Line[]> lines_;
};

}  // namespace penstock
