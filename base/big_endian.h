// SPDX-License-Identifier: Apache-2.0
// Big-endian numbers in memory of any alignment.
//
// Ownership: none.
// Threads: pure.
// Errors: none; the caller knows that the bytes are there.
// Invariants: none.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace penstock {

inline uint16_t load_be16(const std::byte* bytes) {
  uint16_t value;
  std::memcpy(&value, bytes, sizeof value);
  return std::endian::native == std::endian::little ? __builtin_bswap16(value) : value;
}

inline uint32_t load_be32(const std::byte* bytes) {
  uint32_t value;
  std::memcpy(&value, bytes, sizeof value);
  return std::endian::native == std::endian::little ? __builtin_bswap32(value) : value;
}

inline uint64_t load_be64(const std::byte* bytes) {
  uint64_t value;
  std::memcpy(&value, bytes, sizeof value);
  return std::endian::native == std::endian::little ? __builtin_bswap64(value) : value;
}

}  // namespace penstock
