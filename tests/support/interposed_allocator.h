// SPDX-License-Identifier: Apache-2.0
// Counts the heap allocations of a test program: operator new is interposed in every program that
// has this file's source among its own.
//
// Ownership: none.
// Threads: any.
// Errors: a program without memory aborts.
// Invariants: counts never go down.
#pragma once

#include <cstdint>

namespace penstock {

// Allocations so far that were counted; from the start that is every one.
uint64_t counted_allocations();

// From now on only those are counted for which `is_counted`, called in the thread that allocates,
// answers true. It must not allocate.
void count_allocations_where(bool (*is_counted)());

}  // namespace penstock
