// SPDX-License-Identifier: Apache-2.0
// Copying what shows through from below into a node's own layer, at the choke point.
#include <algorithm>

#include "base/aligned_buffer.h"
#include "block/io/aligned_io.h"
#include "block/io/child_io.h"
#include "block/io/node_entry.h"
#include "block/io/request_checks.h"
#include "block/io/write_ticket.h"

namespace penstock {
namespace {

constexpr uint64_t kLongestPiece = 1 << 20;

// The first part of `range`, at most one piece; how far it came is in `length`.
absl::Status co_copy_piece(const Child& child, ByteRange range, uint64_t& length) IO_CODE {
  Node& node = *child.node;
  ByteRange piece{range.offset, std::min(range.length, kLongestPiece)};
  length = piece.length;
  // From the look to the write nobody else touches the piece: what is written is what it holds.
  const WriteTicket ticket(node, piece, kSerialising);
  if (auto status = check_bounds("copy up", node, piece); !status.ok()) return status;
  const auto status = co_block_status(child, piece);
  if (!status.ok()) return status.status();
  piece.length = length = std::min(status->length, piece.length);
  if (status->allocated || status->zero) return absl::OkStatus();
  const AlignedBuffer memory(piece.length, std::max({node.limits.memory_alignment,
                                                     node.limits.request_alignment, uint64_t{64}}));
  const iovec segment = iovec_of(memory.span());
  if (auto read = co_read_node(node, piece.offset, IoVector(segment)); !read.ok()) return read;
  return co_write_node(node, piece.offset, IoVector(segment));
}

}  // namespace

absl::Status co_copy_up(const Child& child, ByteRange range) {
  Node& node = *child.node;
  if (auto status = check_request("copy up", child, range, kConsistentRead | kWriteUnchanged);
      !status.ok()) {
    return status;
  }
  const NodeEntry entry(node);
  absl::Status status;
  while (status.ok() && !range.empty()) {
    uint64_t length = 0;
    status = co_copy_piece(child, range, length);
    range = {range.offset + length, range.length - length};
  }
  entry.count_write();
  return describe(status, "copy up", node, range);
}

}  // namespace penstock
