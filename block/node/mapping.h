// SPDX-License-Identifier: Apache-2.0
// A driver's answer to "where is this guest range?".
//
// Ownership: a mapping names a child of the node that answered; it is valid while the request that
//   asked is in flight in that node. The lease keeps what it names from being reused until then: a
//   driver that frees clusters waits for all requests in flight at the time (InFlightCounters).
// Threads: made and used by one request.
// Errors: none.
// Invariants: range.offset is the offset that was asked for, 0 < range.length <= what was asked
//   for.
#pragma once

#include <cstdint>

#include "base/byte_range.h"

namespace penstock {

struct Child;

enum class MapIntent : uint8_t {
  kRead,   // where to read from
  kWrite,  // where to write to; the driver allocates if need be
  kLook,   // block status only; nothing is changed
};

enum class MappingKind : uint8_t {
  kData,         // bytes of `child` from `child_offset` on
  kZero,         // reads as zeroes; `child` and `child_offset` say where space is kept, if it is
  kUnallocated,  // not in this layer: the same offset of `child`, the backing child, if any; else
                 // zeroes
  kSpecial,      // the driver moves the bytes itself (compressed, encrypted)
};

struct Mapping {
  MappingKind kind = MappingKind::kZero;
  ByteRange range;  // guest bytes of the node that answered
  const Child* child = nullptr;
  uint64_t child_offset = 0;  // bytes, in `child`
  uint64_t token = 0;         // kSpecial: the driver's own
};

// Block status of a range, for SEEK_HOLE/DATA and maps.
struct BlockStatus {
  uint64_t length = 0;           // bytes from the offset asked for that are alike
  bool data = false;             // may hold something else than zeroes
  bool zero = false;             // reads as zeroes
  bool allocated = false;        // this layer decides the contents
  const Child* child = nullptr;  // where the bytes are, if anywhere
  uint64_t child_offset = 0;     // bytes
  // For maps of chains. A driver leaves them as they are; the walk over the layers fills them.
  unsigned depth = 0;       // backing edges down to the layer that decides
  bool present = false;     // that layer has it; else none has
  bool compressed = false;  // or otherwise transformed: it has no place of its own
  bool zero_below = false;  // the layer has data there, and its storage a hole
};

}  // namespace penstock
