// SPDX-License-Identifier: Apache-2.0
#include "drivers/copy_before_write/copied_clusters.h"

#include <algorithm>
#include <bit>

namespace penstock {

CopiedClusters::CopiedClusters(uint64_t size, uint64_t granularity)
    : size_(size),
      granularity_(granularity),
      words_(end_cluster(size) / kWordBits + 1),
      remaining_(size) {}

bool CopiedClusters::all_copied(ByteRange range) const {
  const uint64_t end = end_cluster(range.end());
  return first_uncopied(range.offset / granularity_, end) >= end;
}

std::optional<ByteRange> CopiedClusters::next_uncopied(uint64_t offset, uint64_t longest) const {
  const uint64_t end = end_cluster(size_);
  const uint64_t first = first_uncopied(offset / granularity_, end);
  if (first >= end) return std::nullopt;
  const uint64_t limit = std::min(end, first + std::max<uint64_t>(longest / granularity_, 1));
  uint64_t last = first + 1;
  while (last < limit && !is_copied(last)) ++last;
  return bytes_of(first, last);
}

CopiedClusters::Turn CopiedClusters::claim_first(ByteRange range, uint64_t longest) {
  const uint64_t end = end_cluster(range.end());
  const ThreadLock lock(mutex_);
  const uint64_t first = first_uncopied(range.offset / granularity_, end);
  if (first >= end) return {};
  if (const Claim* const other = claim_at(first)) {
    const auto found = std::find_if(claims_.begin(), claims_.end(),
                                    [&](const auto& each) { return each.get() == other; });
    return {*found, false};
  }
  const uint64_t limit = std::min(end, first + std::max<uint64_t>(longest / granularity_, 1));
  uint64_t last = first + 1;
  while (last < limit && !is_copied(last) && claim_at(last) == nullptr) ++last;
  return {claims_.emplace_back(std::make_shared<Claim>(bytes_of(first, last))), true};
}

void CopiedClusters::finish(Claim& claim) {
  {
    const ThreadLock lock(mutex_);
    if (claim.outcome.ok()) {
      const uint64_t end = end_cluster(claim.range.end());
      for (uint64_t cluster = claim.range.offset / granularity_; cluster < end; ++cluster) {
        words_[cluster / kWordBits].fetch_or(uint64_t{1} << (cluster % kWordBits),
                                             std::memory_order_release);
      }
      remaining_.fetch_sub(claim.range.length, std::memory_order_relaxed);
    }
    std::erase_if(claims_, [&](const auto& each) { return each.get() == &claim; });
  }
  claim.ended.set();
}

uint64_t CopiedClusters::first_uncopied(uint64_t first, uint64_t end) const {
  for (uint64_t cluster = first; cluster < end;) {
    const uint64_t word = words_[cluster / kWordBits].load(std::memory_order_acquire);
    const uint64_t left = ~word >> (cluster % kWordBits);
    if (left != 0) return std::min(cluster + static_cast<uint64_t>(std::countr_zero(left)), end);
    cluster = (cluster / kWordBits + 1) * kWordBits;
  }
  return end;
}

ByteRange CopiedClusters::bytes_of(uint64_t first, uint64_t end) const {
  const uint64_t begin = first * granularity_;
  return {begin, std::min(end * granularity_, size_) - begin};
}

uint64_t CopiedClusters::end_cluster(uint64_t end) const {
  const uint64_t inside = std::min(end, size_);
  return inside / granularity_ + (is_aligned(inside, granularity_) ? 0 : 1);
}

CopiedClusters::Claim* CopiedClusters::claim_at(uint64_t cluster) const {
  const uint64_t offset = cluster * granularity_;
  for (const auto& claim : claims_) {
    if (offset >= claim->range.offset && offset < claim->range.end()) return claim.get();
  }
  return nullptr;
}

}  // namespace penstock
