// SPDX-License-Identifier: Apache-2.0
#include "fuse/space_operations.h"

#include <errno.h>
#include <linux/falloc.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/byte_range.h"
#include "base/status.h"
#include "block/backend/backend_request.h"
#include "block/io/child_io.h"
#include "fuse/served_window.h"

namespace penstock {
namespace {

// A seek over a fragmented image gives others a turn after so many extents.
constexpr unsigned kExtentsPerTurn = 64;
// An image can have more extents than anybody wants to wait for.
constexpr Nanoseconds kSeekLimit = std::chrono::seconds(1);

// The flags for a mode of fallocate(2), or EOPNOTSUPP. Allocating (mode 0) is not among them: no
// layer below can promise that a later write finds space.
int zeroing_flags(uint32_t mode, RequestFlags* flags) {
  switch (mode) {
    case FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE:
      *flags = kMayUnmap;
      return 0;
    case FALLOC_FL_ZERO_RANGE:
    case FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE:
      *flags = kNoFlags;
      return 0;
    default:
      return EOPNOTSUPP;
  }
}

// The first offset of `range` that is data (or, if not `wants_data`, a hole), in bytes of the
// backend; the range's end if there is none. Gives up before that if it must, and answers as if all
// the rest were data.
absl::StatusOr<uint64_t> co_find(const Session& session, const BackendRequest& request,
                                 ByteRange range, bool wants_data) IO_CODE {
  const Nanoseconds limit = AioContext::current()->now() + kSeekLimit;
  uint64_t offset = range.offset;
  unsigned extents = 0;
  while (offset < range.end()) {
    auto status = co_block_status(request.root(), {offset, range.end() - offset});
    if (!status.ok()) return status.status();
    const bool is_data = status->data && !status->zero;
    if (is_data == wants_data) return offset;
    if (status->length == 0) return errno_status(EIO, "an extent without length while seeking");
    offset += std::min(status->length, range.end() - offset);
    if (++extents % kExtentsPerTurn == 0) co_pause();
    if (session.ending.load(std::memory_order_relaxed) || AioContext::current()->now() >= limit) {
      return wants_data ? offset : range.end();
    }
  }
  return range.end();
}

}  // namespace

void co_fallocate(Session& session, const ServedFile& file, RequestSlot& slot) {
  const ByteRange asked{slot.request.offset, slot.request.length};
  if (const int error = session.write_error(file); error != 0) return reply_error(slot, error);
  RequestFlags flags = kNoFlags;
  if (const int error = zeroing_flags(slot.request.mode, &flags); error != 0) {
    return reply_error(slot, error);
  }
  if (asked.empty()) return reply_error(slot, EINVAL);
  BackendRequest request(*file.backend, "fallocate", file.offset + asked.offset, asked.length);
  if (!request.status().ok()) return reply_error(slot, status_errno(request.status()));
  const ServedWindow window(file, request.size());
  const bool keeps_size = (slot.request.mode & FALLOC_FL_KEEP_SIZE) != 0;
  if (!keeps_size && asked.end() > window.size()) {
    return reply_error(slot, file.growable ? EOPNOTSUPP : ENOSPC);
  }
  const ByteRange range = window.clip(asked);
  const absl::Status status = co_write_zeroes(request.root(), range, flags);
  const bool unmaps = (flags & kMayUnmap) != 0;
  request.count(unmaps ? RequestKind::kUnmap : RequestKind::kWrite, range, status);
  if (status.ok()) session.times.note_write(slot.queue->context().slot());
  reply_error(slot, status_errno(status));
}

void co_lseek(const Session& session, const ServedFile& file, RequestSlot& slot) {
  const uint64_t offset = slot.request.offset;
  const bool wants_data = slot.request.mode == SEEK_DATA;
  if (!wants_data && slot.request.mode != SEEK_HOLE) return reply_error(slot, EINVAL);
  BackendRequest request(*file.backend, "lseek", file.offset + offset, 0);
  if (!request.status().ok()) return reply_error(slot, status_errno(request.status()));
  const ServedWindow window(file, request.size());
  if (offset >= window.size()) return reply_error(slot, ENXIO);
  const ByteRange rest = window.clip({offset, window.size() - offset});
  const absl::StatusOr<uint64_t> found = co_find(session, request, rest, wants_data);
  if (!found.ok()) return reply_error(slot, status_errno(found.status()));
  // The end of the file is a hole, and not data.
  if (wants_data && *found == rest.end()) return reply_error(slot, ENXIO);
  reply_with(slot, fuse_lseek_out{window.to_file(*found)});
}

}  // namespace penstock
