// SPDX-License-Identifier: Apache-2.0
#include "fuse/file_operations.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "base/io_vector.h"
#include "base/status.h"
#include "block/backend/backend_request.h"
#include "block/io/child_io.h"
#include "fuse/served_window.h"

namespace penstock {
namespace {

bool opens_for_reading(const RequestSlot& slot) {
  return (slot.request.flags & O_ACCMODE) == O_RDONLY;
}

// Closing flushes nothing: a write is with the backend when it returns, and fsync makes it durable.
// Only pages written through a mapping are left to close(2) where pages are cached.
uint32_t open_flags(const Session& session, const ServedFile& file) {
  if (!session.options.cached) {
    return FOPEN_DIRECT_IO | FOPEN_PARALLEL_DIRECT_WRITES | FOPEN_NOFLUSH;
  }
  // The kernel's pages of a file know nothing of writes through another file that shows the same
  // bytes: they last until the file is opened again.
  const bool others_write = session.writable && session.tree.files_of(*file.backend).size() > 1;
  return others_write ? 0 : FOPEN_KEEP_CACHE;
}

}  // namespace

void reply_open(Session& session, const ServedFile& file, RequestSlot& slot) {
  if (const int error = session.write_error(file); error != 0 && !opens_for_reading(slot)) {
    return reply_error(slot, error);
  }
  fuse_open_out out = {};
  out.open_flags = open_flags(session, file);
  reply_with(slot, out);
}

void co_read(Session&, const ServedFile& file, RequestSlot& slot) {
  const ByteRange asked{slot.request.offset, slot.request.length};
  BackendRequest request(*file.backend, "read", file.offset + asked.offset, asked.length);
  if (!request.status().ok()) return reply_error(slot, status_errno(request.status()));
  for (;;) {
    const ByteRange range = ServedWindow(file, request.size()).clip(asked);
    if (range.empty()) return reply_ok(slot);
    slot.payload_touched = std::max<size_t>(slot.payload_touched, range.length);
    const iovec memory = iovec_of(slot.payload.first(range.length));
    const absl::Status status = co_preadv(request.root(), range.offset, IoVector(memory));
    if (status.ok()) {
      request.count(RequestKind::kRead, range, status);
      return slot.queue->reply(slot, 0, slot.payload.first(range.length));
    }
    // A truncate that overtook us is no error: the file just ends earlier now.
    const ByteRange now = ServedWindow(file, request.size()).clip(asked);
    if (range.length <= now.length) {
      request.count(RequestKind::kRead, range, status);
      return reply_error(slot, status_errno(status));
    }
  }
}

void co_write(Session& session, const ServedFile& file, RequestSlot& slot) {
  if (const int error = session.write_error(file); error != 0) return reply_error(slot, error);
  ByteRange range{file.offset + slot.request.offset, slot.request.length};
  BackendRequest request(*file.backend, "write", range.offset, range.length);
  if (!request.status().ok()) return reply_error(slot, status_errno(request.status()));
  if (!file.growable) {
    range = ServedWindow(file, request.size()).clip({slot.request.offset, slot.request.length});
    if (range.empty() && slot.request.length != 0) return reply_error(slot, ENOSPC);
  }
  // The kernel leaves O_DSYNC and O_SYNC of direct writes to us.
  const RequestFlags flags = (slot.request.flags & O_DSYNC) != 0 ? kFua : kNoFlags;
  const uint64_t size = request.size();
  const iovec memory = iovec_of(slot.payload.first(range.length));
  const absl::Status status = co_pwritev(request.root(), range.offset, IoVector(memory), flags);
  request.count(RequestKind::kWrite, range, status);
  if (!status.ok()) return reply_error(slot, status_errno(status));
  // Others who show the node must learn that it has grown.
  if (file.growable && request.size() != size) request.tell_size_changed();
  session.times.note_write(slot.queue->context().slot());
  fuse_write_out out = {};
  out.size = static_cast<uint32_t>(range.length);
  reply_with(slot, out);
}

void co_fsync(const ServedFile& file, RequestSlot& slot) {
  BackendRequest request(*file.backend, "flush", 0, 0);
  if (!request.status().ok()) return reply_error(slot, status_errno(request.status()));
  const absl::Status status = co_flush(request.root());
  request.count(RequestKind::kFlush, {}, status);
  reply_error(slot, status_errno(status));
}

void reply_open_text(const Session& session, RequestSlot& slot) {
  if (!opens_for_reading(slot)) return reply_error(slot, session.write_error(ServedFile{}));
  fuse_open_out out = {};
  out.open_flags = FOPEN_KEEP_CACHE | FOPEN_NOFLUSH;
  reply_with(slot, out);
}

void reply_read_text(const ServedEntry& text, RequestSlot& slot) {
  const std::span<const std::byte> bytes = std::as_bytes(std::span(text.content));
  const uint64_t offset = std::min<uint64_t>(slot.request.offset, bytes.size());
  const uint64_t length = std::min<uint64_t>(slot.request.length, bytes.size() - offset);
  slot.queue->reply(slot, 0, bytes.subspan(offset, length));
}

void reply_seek_text(const ServedEntry& text, RequestSlot& slot) {
  const uint64_t offset = slot.request.offset;
  const bool wants_data = slot.request.mode == SEEK_DATA;
  if (!wants_data && slot.request.mode != SEEK_HOLE) return reply_error(slot, EINVAL);
  if (offset >= text.content.size()) return reply_error(slot, ENXIO);
  reply_with(slot, fuse_lseek_out{wants_data ? offset : text.content.size()});
}

absl::Status co_flush_all(const ServedTree& tree) {
  absl::Status first;
  for (Backend* const backend : tree.writable_backends()) {
    BackendRequest request(*backend, "flush", 0, 0);
    absl::Status status = request.status();
    if (status.ok()) {
      status = annotate(co_flush(request.root()), "flushing \"" + backend->name + "\"");
      request.count(RequestKind::kFlush, {}, status);
    }
    if (first.ok()) first = status;
  }
  return first;
}

}  // namespace penstock
