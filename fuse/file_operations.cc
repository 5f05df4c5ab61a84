// SPDX-License-Identifier: Apache-2.0
#include "fuse/file_operations.h"

#include <errno.h>
#include <fcntl.h>

#include <algorithm>

#include "absl/status/status.h"
#include "base/io_vector.h"
#include "base/status.h"
#include "block/backend/backend_request.h"
#include "block/io/child_io.h"

namespace penstock {
namespace {

uint64_t length_before_end(uint64_t offset, uint64_t length, uint64_t size) {
  return offset < size ? std::min(length, size - offset) : 0;
}

}  // namespace

void reply_open(Session& session, RequestSlot& slot) {
  const bool reads_only = (slot.request.flags & O_ACCMODE) == O_RDONLY;
  if (!reads_only && !session.options.writable) return reply_error(slot, EROFS);
  fuse_open_out out = {};
  // Closing flushes nothing: a write is with the backend when it returns, and fsync makes it
  // durable. Only pages written through a mapping are left to close(2) where pages are cached.
  out.open_flags = session.options.cached
                       ? FOPEN_KEEP_CACHE
                       : FOPEN_DIRECT_IO | FOPEN_PARALLEL_DIRECT_WRITES | FOPEN_NOFLUSH;
  reply_with(slot, out);
}

void co_read(Session& session, RequestSlot& slot) {
  const uint64_t offset = slot.request.offset;
  BackendRequest request(session.backend, "read", offset, slot.request.length);
  if (!request.status().ok()) return reply_error(slot, status_errno(request.status()));
  for (;;) {
    const uint64_t length = length_before_end(offset, slot.request.length, request.size());
    if (length == 0) return reply_ok(slot);
    slot.payload_touched = std::max<size_t>(slot.payload_touched, length);
    const iovec memory = iovec_of(slot.payload.first(length));
    const absl::Status status = co_preadv(request.root(), offset, IoVector(memory));
    if (status.ok()) return slot.queue->reply(slot, 0, slot.payload.first(length));
    // A truncate that overtook us is no error: the file just ends earlier now.
    if (offset + length <= request.size()) return reply_error(slot, status_errno(status));
  }
}

void co_write(Session& session, RequestSlot& slot) {
  const uint64_t offset = slot.request.offset;
  if (!session.options.writable) return reply_error(slot, EROFS);
  BackendRequest request(session.backend, "write", offset, slot.request.length);
  if (!request.status().ok()) return reply_error(slot, status_errno(request.status()));
  uint64_t length = slot.request.length;
  if (!session.options.growable) {
    length = length_before_end(offset, length, request.size());
    if (length == 0 && slot.request.length != 0) return reply_error(slot, ENOSPC);
  }
  // The kernel leaves O_DSYNC and O_SYNC of direct writes to us.
  const RequestFlags flags = (slot.request.flags & O_DSYNC) != 0 ? kFua : kNoFlags;
  const iovec memory = iovec_of(slot.payload.first(length));
  const absl::Status status = co_pwritev(request.root(), offset, IoVector(memory), flags);
  if (!status.ok()) return reply_error(slot, status_errno(status));
  session.times.note_write(slot.queue->context().slot());
  fuse_write_out out = {};
  out.size = static_cast<uint32_t>(length);
  reply_with(slot, out);
}

void co_fsync(Session& session, RequestSlot& slot) {
  BackendRequest request(session.backend, "flush", 0, 0);
  if (!request.status().ok()) return reply_error(slot, status_errno(request.status()));
  reply_error(slot, status_errno(co_flush(request.root())));
}

}  // namespace penstock
