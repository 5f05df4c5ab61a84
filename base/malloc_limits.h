// SPDX-License-Identifier: Apache-2.0
// Keeps freed memory from staying with the allocator of a process of many threads.
//
// glibc's allocator has an area for each thread, and keeps in each what was freed there, up to a
// limit that it raises to twice the largest block ever freed. Sixteen threads that each
// decompressed a cluster of 2 MiB once would hold more than 64 MiB that nobody uses.
//
// Ownership: none; a setting of the process.
// Threads: called once, before threads start.
// Errors: none.
// Invariants: blocks of kLargeBlock and more go back to the system when they are freed; a thread's
//   area keeps at most kKeptFree bytes free at its end.
#pragma once

#include <cstddef>

namespace penstock {

inline constexpr size_t kLargeBlock = 1 << 20;  // bytes
inline constexpr size_t kKeptFree = 1 << 20;    // bytes

void limit_kept_memory();

}  // namespace penstock
