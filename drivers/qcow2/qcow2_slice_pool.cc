// SPDX-License-Identifier: Apache-2.0
#include "drivers/qcow2/qcow2_slice_pool.h"

#include <endian.h>

#include <bit>
#include <cstring>

namespace penstock {
namespace {

// Offsets of slices are multiples of 512, so that a tag's lowest bit is free, and the largest
// number is nobody's offset.
constexpr uint64_t kReferenced = 1;
constexpr uint64_t kEmpty = ~kReferenced;

constexpr size_t kCacheLine = 64;

// Odd, so that tables which lie at distances of a power of two do not meet in few sets, while the
// slices of one table still spread evenly.
uint32_t odd_set_count(size_t slices, size_t ways) {
  return static_cast<uint32_t>((slices + ways - 1) / ways) | 1;
}

}  // namespace

Qcow2SlicePool::Qcow2SlicePool(size_t slice_size, size_t capacity)
    : slice_size_(slice_size),
      slice_bits_(static_cast<unsigned>(std::countr_zero(slice_size))),
      set_count_(odd_set_count(capacity / slice_size, kWays)),
      sets_(std::make_unique<Set[]>(set_count_)),
      words_(size_t{set_count_} * kWays * slice_size, kCacheLine) {
  for (size_t set = 0; set < set_count_; ++set) {
    for (size_t way = 0; way < kWays; ++way) {
      sets_[set].tags[way].store(kEmpty, std::memory_order_relaxed);
      sets_[set].counts[way].store(0, std::memory_order_relaxed);
    }
  }
}

// The low half of the slice's number is enough, and its division is the faster one.
size_t Qcow2SlicePool::set_index(uint64_t offset) const {
  return static_cast<uint32_t>(offset >> slice_bits_) % set_count_;
}

uint64_t* Qcow2SlicePool::words_of(size_t set, size_t way) const {
  return reinterpret_cast<uint64_t*>(words_.data() + (set * kWays + way) * slice_size_);
}

// The order that makes this right without a fence: the count is loaded first with acquire, so the
// words are at least as new as the count. Each word is loaded with acquire and was stored with
// release after its count had become odd, so whoever saw a newer word sees a newer count below.
bool Qcow2SlicePool::read(uint64_t offset, std::span<uint64_t> words) {
  const uint64_t slice = offset & ~uint64_t{slice_size_ - 1};
  const size_t index = set_index(slice);
  Set& set = sets_[index];
  size_t way = 0;
  while ((set.tags[way].load(std::memory_order_relaxed) & ~kReferenced) != slice) {
    if (++way == kWays) return false;
  }
  const uint64_t count = set.counts[way].load(std::memory_order_acquire);
  const uint64_t tag = set.tags[way].load(std::memory_order_acquire);
  if ((count & 1) != 0 || (tag & ~kReferenced) != slice) [[unlikely]]
    return false;
  uint64_t* const source = words_of(index, way) + (offset - slice) / sizeof(uint64_t);
  for (size_t i = 0; i < words.size(); ++i) {
    words[i] = std::atomic_ref<uint64_t>(source[i]).load(std::memory_order_acquire);
  }
  if (set.counts[way].load(std::memory_order_relaxed) != count) [[unlikely]]
    return false;
  // If the slice has been replaced meanwhile, its successor gets the mark: that harms nothing.
  if ((tag & kReferenced) == 0) set.tags[way].fetch_or(kReferenced, std::memory_order_relaxed);
  return true;
}

bool Qcow2SlicePool::insert(uint64_t offset, std::span<const std::byte> bytes) {
  const size_t index = set_index(offset);
  Set& set = sets_[index];
  const size_t way = choose_way(set);
  const bool evicts = set.tags[way].load(std::memory_order_relaxed) != kEmpty;
  const uint64_t count = set.counts[way].load(std::memory_order_relaxed);
  set.counts[way].exchange(count + 1, std::memory_order_acq_rel);
  // Not referenced: a slice that is used once goes before one that is used again.
  set.tags[way].store(offset, std::memory_order_release);
  uint64_t* const target = words_of(index, way);
  for (size_t i = 0; i < slice_size_ / sizeof(uint64_t); ++i) {
    uint64_t word;
    std::memcpy(&word, bytes.data() + i * sizeof(word), sizeof(word));
    std::atomic_ref<uint64_t>(target[i]).store(be64toh(word), std::memory_order_release);
  }
  set.counts[way].store(count + 2, std::memory_order_release);
  return evicts;
}

// An empty place, else the first from the hand on that was not read since the hand came by.
size_t Qcow2SlicePool::choose_way(Set& set) {
  for (size_t way = 0; way < kWays; ++way) {
    if (set.tags[way].load(std::memory_order_relaxed) == kEmpty) return way;
  }
  // Readers may set marks again meanwhile: after one round any place will do.
  for (size_t i = 0; i < kWays; ++i) {
    const size_t way = set.hand++ % kWays;
    const uint64_t before = set.tags[way].fetch_and(~kReferenced, std::memory_order_relaxed);
    if ((before & kReferenced) == 0) return way;
  }
  return set.hand++ % kWays;
}

}  // namespace penstock
