// SPDX-License-Identifier: Apache-2.0
#include "block/backend/latency_histogram.h"

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>

#include "base/status.h"
#include "block/node/in_flight.h"

namespace penstock {

absl::StatusOr<std::unique_ptr<LatencyHistogram>> LatencyHistogram::create(
    std::vector<uint64_t> boundaries) {
  if (boundaries.empty()) {
    return errno_message(EINVAL, "A latency histogram needs at least one boundary");
  }
  if (boundaries.size() > kMaxBoundaries) {
    return errno_message(EINVAL, "A latency histogram takes at most " +
                                     std::to_string(kMaxBoundaries) + " boundaries, not " +
                                     std::to_string(boundaries.size()));
  }
  uint64_t previous = 0;
  for (const uint64_t boundary : boundaries) {
    if (boundary <= previous) {
      return errno_message(EINVAL,
                           "The boundaries of a latency histogram must rise from above 0, "
                           "and " +
                               std::to_string(boundary) + " comes after " +
                               std::to_string(previous));
    }
    previous = boundary;
  }
  return std::unique_ptr<LatencyHistogram>(new LatencyHistogram(std::move(boundaries)));
}

LatencyHistogram::LatencyHistogram(std::vector<uint64_t> boundaries)
    : boundaries_(std::move(boundaries)),
      lines_per_slot_(boundaries_.size() / kBinsPerLine + 1),
      lines_(new Line[lines_per_slot_ * kMaxContexts]) {}

void LatencyHistogram::count(unsigned slot, uint64_t nanoseconds) {
  const auto above = std::upper_bound(boundaries_.begin(), boundaries_.end(), nanoseconds);
  const size_t bin = static_cast<size_t>(above - boundaries_.begin());
  raise(lines_[slot * lines_per_slot_ + bin / kBinsPerLine].bins[bin % kBinsPerLine]);
}

std::vector<uint64_t> LatencyHistogram::bins() const {
  std::vector<uint64_t> sums(boundaries_.size() + 1);
  for (unsigned slot = 0; slot < kMaxContexts; ++slot) {
    const Line* const lines = &lines_[slot * lines_per_slot_];
    for (size_t bin = 0; bin < sums.size(); ++bin) {
      sums[bin] +=
          lines[bin / kBinsPerLine].bins[bin % kBinsPerLine].load(std::memory_order_relaxed);
    }
  }
  return sums;
}

}  // namespace penstock
