// SPDX-License-Identifier: Apache-2.0
// What a request asks for beside its range.
//
// Ownership: values.
// Threads: pure.
// Errors: none.
// Invariants: none.
#pragma once

#include <cstdint>

namespace penstock {

using RequestFlags = uint32_t;

inline constexpr RequestFlags kNoFlags = 0;
inline constexpr RequestFlags kFua = 1u << 0;          // durable before it completes
inline constexpr RequestFlags kMayUnmap = 1u << 1;     // zeroes may deallocate
inline constexpr RequestFlags kNoFallback = 1u << 2;   // EOPNOTSUPP rather than writing zeroes
inline constexpr RequestFlags kSerialising = 1u << 3;  // excludes overlapping requests

}  // namespace penstock
