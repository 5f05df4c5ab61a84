// SPDX-License-Identifier: Apache-2.0
// The only door to a driver's I/O functions, for the files of block/io.
//
// Ownership: none.
// Threads: as the functions of driver.h.
// Errors: the driver's, unchanged.
// Invariants: included by block/io only. The caller is in flight in the driver's node and has
//   checked the range.
#pragma once

#include "block/node/driver.h"

namespace penstock {

class DriverAccess {
 public:
  static absl::Status co_readv(DirectIo& io, uint64_t offset, const IoVector& data) IO_CODE;
  static absl::Status co_writev(DirectIo& io, uint64_t offset, const IoVector& data) IO_CODE;
  static absl::Status co_flush(DirectIo& io) IO_CODE;
  static absl::Status co_write_zeroes(DirectIo& io, ByteRange range, RequestFlags flags) IO_CODE;
  static absl::Status co_discard(DirectIo& io, ByteRange range) IO_CODE;
  static absl::StatusOr<BlockStatus> co_block_status(DirectIo& io, ByteRange range) IO_CODE;

  // EIO if the driver's answer breaks the rules of mapping.h.
  static absl::StatusOr<Mapping> co_map(MappedIo& io, ByteRange range, MapIntent intent) IO_CODE;
  static absl::Status co_read_special(MappedIo& io, const Mapping& mapping,
                                      const IoVector& data) IO_CODE;
  static absl::Status co_write_special(MappedIo& io, const Mapping& mapping,
                                       const IoVector& data) IO_CODE;
  static absl::Status co_map_zeroes(MappedIo& io, ByteRange range, RequestFlags flags) IO_CODE;
  static absl::Status co_map_discard(MappedIo& io, ByteRange range) IO_CODE;
  static absl::Status co_flush_metadata(MappedIo& io) IO_CODE;

  static absl::StatusOr<ImageCheck> co_check(Checkable& image) IO_CODE;

  static absl::Status co_resize(Resizable& io, uint64_t size) IO_CODE;
};

}  // namespace penstock
