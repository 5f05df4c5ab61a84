// SPDX-License-Identifier: Apache-2.0
// A half-open range of bytes [offset, offset + length), and arithmetic that notices overflow.
//
// Ownership: values.
// Threads: pure, callable anywhere.
// Errors: checked_* return nothing on overflow.
// Invariants: offset + length does not overflow; make_range() is the way to build one from
//   untrusted numbers.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

namespace penstock {

inline std::optional<uint64_t> checked_add(uint64_t a, uint64_t b) {
  uint64_t sum;
  if (__builtin_add_overflow(a, b, &sum)) return std::nullopt;
  return sum;
}

inline std::optional<uint64_t> checked_multiply(uint64_t a, uint64_t b) {
  uint64_t product;
  if (__builtin_mul_overflow(a, b, &product)) return std::nullopt;
  return product;
}

struct ByteRange {
  uint64_t offset = 0;
  uint64_t length = 0;

  uint64_t end() const { return offset + length; }
  bool empty() const { return length == 0; }
  bool overlaps(const ByteRange& other) const {
    return offset < other.end() && other.offset < end();
  }
  bool contains(const ByteRange& other) const {
    return other.offset >= offset && other.end() <= end();
  }
  friend bool operator==(const ByteRange&, const ByteRange&) = default;
};

inline std::optional<ByteRange> make_range(uint64_t offset, uint64_t length) {
  if (!checked_add(offset, length)) return std::nullopt;
  return ByteRange{offset, length};
}

// Alignments are powers of two.
inline constexpr bool is_aligned(uint64_t value, uint64_t alignment) {
  return (value & (alignment - 1)) == 0;
}
inline constexpr uint64_t align_down(uint64_t value, uint64_t alignment) {
  return value & ~(alignment - 1);
}
// REQUIRES: value <= 2^64 - alignment.
inline constexpr uint64_t align_up(uint64_t value, uint64_t alignment) {
  return align_down(value + alignment - 1, alignment);
}

// The smallest aligned range that contains `range`.
inline ByteRange align_outwards(const ByteRange& range, uint64_t alignment) {
  const uint64_t begin = align_down(range.offset, alignment);
  return {begin, align_up(range.end(), alignment) - begin};
}

inline ByteRange intersect(const ByteRange& a, const ByteRange& b) {
  const uint64_t begin = std::max(a.offset, b.offset);
  const uint64_t end = std::min(a.end(), b.end());
  return begin < end ? ByteRange{begin, end - begin} : ByteRange{begin, 0};
}

}  // namespace penstock
