// SPDX-License-Identifier: Apache-2.0
// What the choke point checks of each request, and how its failures read.
//
// Ownership: none.
// Threads: in flight in the edge's parent. Bounds are checked again once the request has its
//   ticket, since a resize may come between.
// Errors: as child_io.h says.
// Invariants: nothing here allocates unless a request fails.
#pragma once

#include "absl/status/status.h"
#include "base/byte_range.h"
#include "block/node/child.h"
#include "block/node/node.h"

namespace penstock {

// Overflow, permission, read-only node. `needed`: what the edge must have taken, 0 for nothing;
// anything but reading wants a writable node.
absl::Status check_request(const char* operation, const Child& child, ByteRange range,
                           Permission needed);
// The range ends at or before the node's size.
absl::Status check_bounds(const char* operation, const Node& node, ByteRange range);
// The same for what may grow the node.
absl::Status check_write_bounds(const char* operation, const Child& child, ByteRange range);

// A failure as the caller sees it: "read of 512 bytes at offset 1024 on node 'disk': ...".
// OK stays OK.
absl::Status describe(const absl::Status& status, const char* operation, const Node& node,
                      ByteRange range);

}  // namespace penstock
