// SPDX-License-Identifier: Apache-2.0
// The tracker's ticket of a request that writes.
//
// An aligned write is an ordinary request. An unaligned one rewrites its neighbours too, and
// serialises over all blocks that it touches. One that must cut the storage back afterwards, since
// the node's size is within a block, excludes everything behind it as well: a write that grew the
// node meanwhile would be cut off.
//
// Ownership: on the request's stack, within the node's entry.
// Threads: a coroutine on any context; construction may wait.
// Errors: none.
// Invariants: while the ticket lives no shrink makes a write need a wider one.
#pragma once

#include <optional>

#include "base/byte_range.h"
#include "block/node/node.h"
#include "block/node/request_flags.h"
#include "block/node/request_tracker.h"

namespace penstock {

class WriteTicket {
 public:
  WriteTicket(Node& node, ByteRange range, RequestFlags flags) IO_CODE;
  WriteTicket(const WriteTicket&) = delete;
  WriteTicket& operator=(const WriteTicket&) = delete;

 private:
  std::optional<RequestTracker::Ticket> ticket_;
};

// True if writing `range` rewrites bytes next to it.
bool is_unaligned(const Node& node, ByteRange range);
// From `offset` to the end of everything.
ByteRange everything_from(uint64_t offset);

}  // namespace penstock
