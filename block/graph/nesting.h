// SPDX-License-Identifier: Apache-2.0
// How deep nodes may stand above each other.
//
// Ownership: none.
// Threads: none.
// Errors: none.
// Invariants: a request that goes from node to node does so on one coroutine's stack. Backing edges
//   do not count: chains of images are walked in a loop.
#pragma once

#include <cstddef>

namespace penstock {

// Edges on any path through the graph, backing edges left out. Some eighth of what the stack holds.
inline constexpr size_t kMaxNesting = 32;

}  // namespace penstock
