// SPDX-License-Identifier: Apache-2.0
// What a child is for.
//
// Ownership: a value.
// Threads: pure.
// Errors: none.
// Invariants: none.
#pragma once

#include <cstdint>

namespace penstock {

enum class ChildRole : uint8_t {
  kRoot,      // a backend's edge to its node
  kFiltered,  // the one child of a filter: same bytes
  kImage,     // data and metadata of a format
  kData,      // data only (an external data file)
  kBacking,   // what shows through where this layer has nothing
};

}  // namespace penstock
