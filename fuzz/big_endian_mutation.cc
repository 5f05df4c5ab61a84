// SPDX-License-Identifier: Apache-2.0
#include "fuzz/big_endian_mutation.h"

#include <algorithm>
#include <cstring>

namespace penstock {
namespace {

uint64_t below(std::mt19937_64& random, uint64_t limit) { return random() % limit; }

void store(uint8_t* at, uint64_t value, size_t size, bool big_endian) {
  for (size_t i = 0; i < size; ++i) {
    const size_t shift = 8 * (big_endian ? size - 1 - i : i);
    at[i] = static_cast<uint8_t>(value >> shift);
  }
}

uint64_t load(const uint8_t* at, size_t size, bool big_endian) {
  uint64_t value = 0;
  for (size_t i = 0; i < size; ++i) {
    const size_t shift = 8 * (big_endian ? size - 1 - i : i);
    value |= uint64_t{at[i]} << shift;
  }
  return value;
}

// A multiple of `size`, mostly where something is: images are full of zeroes.
size_t choose_field(std::span<const uint8_t> bytes, size_t size, std::mt19937_64& random) {
  const size_t fields = bytes.size() / size;
  // Headers stand at the start.
  if (below(random, 3) == 0) return below(random, std::min<size_t>(fields, 256 / size)) * size;
  size_t field = 0;
  for (int attempt = 0; attempt < 16; ++attempt) {
    field = below(random, fields) * size;
    if (load(bytes.data() + field, size, true) != 0) return field;
  }
  return field;
}

uint64_t choose_value(std::span<const uint8_t> bytes, uint64_t old, size_t size, bool big_endian,
                      std::mt19937_64& random) {
  const uint64_t length = bytes.size();
  switch (below(random, 12)) {
    case 0:
      return 0;
    case 1:
      return ~uint64_t{0} >> below(random, 64);
    case 2:
      return uint64_t{1} << below(random, 64);
    case 3:
      return old + 1;
    case 4:
      return old - 1;
    case 5:
      return old ^ (uint64_t{1} << below(random, 8 * size));
    case 6:
      return length + below(random, 3) * 512;
    case 7:
      return below(random, length / 512 + 2) * 512;
    case 8:
      // Where a table may be, with the flags of the old entry.
      return (below(random, length / 512 + 2) * 512) | (old & 0xff000000000001ff);
    case 9:
      return below(random, 64);
    case 10:
      return old + (below(random, 2) == 0 ? 512 : 65536);
    default:
      return load(bytes.data() + below(random, length / size) * size, size, big_endian);
  }
}

}  // namespace

size_t mutate_fields(std::span<uint8_t> bytes, std::mt19937_64& random) {
  if (bytes.size() < 16) return bytes.size();
  if (below(random, 64) == 0) return 1 + below(random, bytes.size());
  if (below(random, 16) == 0) {
    const size_t length = std::min<size_t>(size_t{8} << below(random, 7), bytes.size() / 2);
    const size_t from = below(random, bytes.size() - length) & ~size_t{7};
    const size_t to = below(random, bytes.size() - length) & ~size_t{7};
    std::memmove(bytes.data() + to, bytes.data() + from, length);
    return bytes.size();
  }
  const size_t size = size_t{1} << below(random, 4);
  const bool big_endian = below(random, 4) != 0;
  const size_t field = choose_field(bytes, size, random);
  const uint64_t old = load(bytes.data() + field, size, big_endian);
  store(bytes.data() + field, choose_value(bytes, old, size, big_endian, random), size, big_endian);
  return bytes.size();
}

}  // namespace penstock
