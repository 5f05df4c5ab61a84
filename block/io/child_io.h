// SPDX-License-Identifier: Apache-2.0
// The request path: reads, writes and the rest on a node through an edge. Every request passes the
// choke point behind these functions, and no other code reaches a driver's I/O functions.
//
// Ownership: the caller's memory outlives the call.
// Threads: a coroutine on any context, in flight in the edge's parent (a node, or a backend's
//   gate).
// Errors: EINVAL and EFBIG for ranges that overflow, EIO past the end, EPERM for what the edge has
//   no permission for, EROFS on a read-only node, and the driver's own; the text names operation,
//   node, offset.
// Invariants: a request that fails in its reading half (unaligned write) has written nothing. Bytes
//   outside the range never change. Offsets and lengths are bytes, of any alignment. Empty ranges
//   are OK.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/byte_range.h"
#include "base/io_vector.h"
#include "base/thread_roles.h"
#include "block/node/child.h"
#include "block/node/mapping.h"
#include "block/node/request_flags.h"

namespace penstock {

// Reads [offset, offset + data.length()), which must end at or before the node's size.
absl::Status co_preadv(const Child& child, uint64_t offset, const IoVector& data,
                       RequestFlags flags = kNoFlags) IO_CODE;

// Writes; past the end only with the resize permission where the driver grows by writing. The
// larger size shows after the data.
absl::Status co_pwritev(const Child& child, uint64_t offset, const IoVector& data,
                        RequestFlags flags = kNoFlags) IO_CODE;

absl::Status co_write_zeroes(const Child& child, ByteRange range,
                             RequestFlags flags = kNoFlags) IO_CODE;

// Advisory: parts smaller than the storage's unit are skipped.
absl::Status co_discard(const Child& child, ByteRange range) IO_CODE;

// OK: every write that completed before the call is durable.
absl::Status co_flush(const Child& child) IO_CODE;

// Makes the node's size exactly `size`. EOPNOTSUPP if the driver cannot.
absl::Status co_resize(const Child& child, uint64_t size) IO_CODE;

// Writes what `range` reads as into the node's own layer, where that has nothing of its own and the
// bytes are not zeroes. What the node holds does not change: overlapping requests wait meanwhile.
// It takes write-unchanged, not write. A failure may have copied a part.
absl::Status co_copy_up(const Child& child, ByteRange range) IO_CODE;

// What the start of `range` is, at this node or (through filters and mappings) below it.
absl::StatusOr<BlockStatus> co_block_status(const Child& child, ByteRange range) IO_CODE;

}  // namespace penstock
