// SPDX-License-Identifier: Apache-2.0
// Changes to binary images that random bytes seldom hit on: whole big-endian or little-endian
// fields take values that mean something there.
//
// Ownership: none.
// Threads: pure.
// Errors: none.
// Invariants: the same random numbers give the same change. The length changes by truncation only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <span>

namespace penstock {

// Changes one field (or bit, or block of fields) of `bytes`; answers how many of the bytes are
// left.
size_t mutate_fields(std::span<uint8_t> bytes, std::mt19937_64& random);

}  // namespace penstock
