// SPDX-License-Identifier: Apache-2.0
// Reads tables of an image in pieces of at most 64 KiB, and passes over holes without reading them.
//
// Ownership: on the heap of one check; refers to the file's edge.
// Threads: one coroutine, in flight in the image's node.
// Errors: the file's own.
// Invariants: bytes past the end of the file are zero, as QEMU reads them. Memory: one piece.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/aligned_buffer.h"
#include "base/byte_range.h"
#include "base/thread_roles.h"
#include "block/node/child.h"

namespace penstock {

class MetadataReader {
 public:
  static constexpr uint64_t kPieceSize = 64 << 10;  // bytes

  struct Piece {
    uint64_t size = 0;                 // bytes; at least 1
    std::span<const std::byte> bytes;  // valid until the next call; empty: all `size` are zero
  };

  explicit MetadataReader(const Child& file) : file_(file), buffer_(kPieceSize, 4096) {}
  MetadataReader(const MetadataReader&) = delete;
  MetadataReader& operator=(const MetadataReader&) = delete;

  // The first part of [offset, offset + length), a multiple of 16 bytes long unless the range is
  // not. REQUIRES: length > 0.
  absl::StatusOr<Piece> co_read(uint64_t offset, uint64_t length) IO_CODE;
  // All of them, copied.
  absl::Status co_read_all(uint64_t offset, std::span<std::byte> bytes) IO_CODE;

 private:
  absl::Status co_fill(uint64_t offset, uint64_t length) IO_CODE;
  void co_find_hole() IO_CODE;

  const Child& file_;
  AlignedBuffer buffer_;
  ByteRange buffered_;  // in the file
  ByteRange hole_;      // known to be zero
};

}  // namespace penstock
