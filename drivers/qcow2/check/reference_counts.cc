// SPDX-License-Identifier: Apache-2.0
#include "drivers/qcow2/check/reference_counts.h"

#include <algorithm>

namespace penstock {
namespace {

unsigned counter_width(unsigned refcount_bits) {
  if (refcount_bits <= 8) return 1;
  return refcount_bits == 16 ? 2 : 4;
}

uint64_t largest_count(unsigned refcount_bits) {
  return (uint64_t{1} << std::min(refcount_bits, 32U)) - 1;
}

}  // namespace

ReferenceCounts::ReferenceCounts(unsigned refcount_bits, uint64_t clusters, uint64_t memory)
    : width_(counter_width(refcount_bits)),
      maximum_(largest_count(refcount_bits)),
      counts_excess_(refcount_bits <= 32),
      window_size_(std::clamp<uint64_t>(clusters, 1, memory / width_)),
      counters_(window_size_ * width_),
      stored_one_(window_size_),
      unreadable_(window_size_) {}

void ReferenceCounts::begin_window(uint64_t first) {
  if (used_) {
    counters_.assign(counters_.size(), std::byte{0});
    stored_one_.assign(window_size_, false);
    unreadable_.assign(window_size_, false);
  }
  used_ = true;
  first_ = first;
}

uint64_t ReferenceCounts::get(uint64_t cluster) const {
  // Counters are stored byte by byte, the lowest first, for any width.
  uint64_t value = 0;
  const std::byte* const counter = counters_.data() + (cluster - first_) * width_;
  for (unsigned i = 0; i < width_; ++i) value |= std::to_integer<uint64_t>(counter[i]) << (8 * i);
  return value;
}

uint64_t ReferenceCounts::add(uint64_t cluster, uint64_t times) {
  const uint64_t before = get(cluster);
  const uint64_t room = maximum_ - before;
  const uint64_t after = before + std::min(times, room);
  std::byte* const counter = counters_.data() + (cluster - first_) * width_;
  for (unsigned i = 0; i < width_; ++i) counter[i] = static_cast<std::byte>(after >> (8 * i));
  return counts_excess_ && times > room ? times - room : 0;
}

}  // namespace penstock
