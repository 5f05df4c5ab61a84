// SPDX-License-Identifier: Apache-2.0
// Half of libFuzzer's changes are our own. Linked into the libFuzzer programs only.
#include <cstddef>
#include <cstdint>
#include <random>

#include "fuzz/big_endian_mutation.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned int seed) {
  if (seed % 2 == 0 || size == 0) return LLVMFuzzerMutate(data, size, max_size);
  std::mt19937_64 random(seed);
  for (unsigned changes = 1 + seed / 2 % 3; changes > 0; --changes) {
    size = penstock::mutate_fields({data, size}, random);
  }
  return size;
}
