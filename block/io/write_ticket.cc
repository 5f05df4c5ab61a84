// SPDX-License-Identifier: Apache-2.0
#include "block/io/write_ticket.h"

#include <cstdint>
#include <limits>

namespace penstock {
namespace {

// True if the blocks that an unaligned write touches end past all bytes that the node then has.
bool sticks_out(const Node& node, ByteRange range) {
  const ByteRange blocks = align_outwards(range, node.limits.request_alignment);
  return blocks.end() > range.end() && blocks.end() > node.size();
}

}  // namespace

bool is_unaligned(const Node& node, ByteRange range) {
  return !is_aligned(range.offset | range.length, node.limits.request_alignment);
}

ByteRange everything_from(uint64_t offset) {
  return {offset, std::numeric_limits<uint64_t>::max() - offset};
}

WriteTicket::WriteTicket(Node& node, ByteRange range, RequestFlags flags) {
  if (!is_unaligned(node, range)) [[likely]] {
    if ((flags & kSerialising) == 0) [[likely]] {
      ticket_.emplace(node.tracker, range);
    } else {
      ticket_.emplace(node.tracker, range, RequestTracker::Ticket::Serialising{});
    }
    return;
  }
  const ByteRange blocks = align_outwards(range, node.limits.request_alignment);
  while (true) {
    const bool to_the_end = sticks_out(node, range);
    ticket_.emplace(node.tracker, to_the_end ? everything_from(blocks.offset) : blocks,
                    RequestTracker::Ticket::Serialising{});
    // A shrink may have come first; a growth only makes the ticket wider than it need be.
    if (to_the_end || !sticks_out(node, range)) return;
    ticket_.reset();
  }
}

}  // namespace penstock
