// SPDX-License-Identifier: Apache-2.0
#include "block/io/driver_access.h"

#include <cerrno>

#include "base/status.h"

namespace penstock {

absl::Status DriverAccess::co_readv(DirectIo& io, uint64_t offset, const IoVector& data) {
  return io.co_readv(offset, data, kNoFlags);
}

absl::Status DriverAccess::co_writev(DirectIo& io, uint64_t offset, const IoVector& data) {
  return io.co_writev(offset, data, kNoFlags);
}

absl::Status DriverAccess::co_flush(DirectIo& io) { return io.co_flush(); }

absl::Status DriverAccess::co_write_zeroes(DirectIo& io, ByteRange range, RequestFlags flags) {
  return io.co_write_zeroes(range, flags);
}

absl::Status DriverAccess::co_discard(DirectIo& io, ByteRange range) {
  return io.co_discard(range);
}

absl::StatusOr<BlockStatus> DriverAccess::co_block_status(DirectIo& io, ByteRange range) {
  return io.co_block_status(range);
}

absl::StatusOr<Mapping> DriverAccess::co_map(MappedIo& io, ByteRange range, MapIntent intent) {
  auto mapping = io.co_map(range, intent);
  if (!mapping.ok()) return mapping;
  const ByteRange& got = mapping->range;
  bool valid = got.offset == range.offset && got.length > 0 && got.length <= range.length;
  if (mapping->kind == MappingKind::kData) {
    valid = valid && mapping->child != nullptr && make_range(mapping->child_offset, got.length);
  }
  if (intent == MapIntent::kWrite) {
    valid =
        valid && (mapping->kind == MappingKind::kData || mapping->kind == MappingKind::kSpecial);
  }
  if (valid) return mapping;
  return errno_status(EIO, "the driver answered a mapping that cannot be");
}

absl::Status DriverAccess::co_read_special(MappedIo& io, const Mapping& mapping,
                                           const IoVector& data) {
  return io.co_read_special(mapping, data);
}

absl::Status DriverAccess::co_write_special(MappedIo& io, const Mapping& mapping,
                                            const IoVector& data) {
  return io.co_write_special(mapping, data);
}

absl::Status DriverAccess::co_map_zeroes(MappedIo& io, ByteRange range, RequestFlags flags) {
  return io.co_map_zeroes(range, flags);
}

absl::Status DriverAccess::co_map_discard(MappedIo& io, ByteRange range) {
  return io.co_map_discard(range);
}

absl::Status DriverAccess::co_flush_metadata(MappedIo& io) { return io.co_flush_metadata(); }

absl::StatusOr<ImageCheck> DriverAccess::co_check(Checkable& image) { return image.co_check(); }

absl::Status DriverAccess::co_resize(Resizable& io, uint64_t size) { return io.co_resize(size); }

}  // namespace penstock
