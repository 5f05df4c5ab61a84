// SPDX-License-Identifier: Apache-2.0
#include "drivers/qcow2/check/metadata_reader.h"

#include <algorithm>
#include <cstring>

#include "base/io_vector.h"
#include "block/io/child_io.h"
#include "block/node/node.h"

namespace penstock {
namespace {

bool is_zero(std::span<const std::byte> bytes) {
  return bytes.empty() || (bytes[0] == std::byte{0} &&
                           std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}

}  // namespace

absl::StatusOr<MetadataReader::Piece> MetadataReader::co_read(uint64_t offset, uint64_t length) {
  if (offset >= file_.node->size()) return Piece{length, {}};
  if (offset >= hole_.offset && offset < hole_.end()) {
    const uint64_t zeroes = align_down(std::min(length, hole_.end() - offset), 16);
    if (zeroes > 0) return Piece{zeroes, {}};
  }
  const uint64_t wanted = std::min(length, kPieceSize);
  if (!buffered_.contains({offset, wanted})) {
    if (const auto status = co_fill(offset, wanted); !status.ok()) return status;
  }
  return Piece{wanted, buffer_.span().subspan(offset - buffered_.offset, wanted)};
}

absl::Status MetadataReader::co_fill(uint64_t offset, uint64_t length) {
  // Tables that lie close together come by one read; far ones cost no more than they are long.
  const bool near = offset >= buffered_.offset && offset - buffered_.offset <= 2 * kPieceSize;
  const uint64_t take = near ? kPieceSize : length;
  buffered_ = {};
  const uint64_t size = file_.node->size();
  const uint64_t present = std::min(take, size - offset);
  const iovec segment = iovec_of(buffer_.span().first(present));
  if (const auto status = co_preadv(file_, offset, IoVector(segment)); !status.ok()) return status;
  std::memset(buffer_.data() + present, 0, take - present);
  buffered_ = {offset, take};
  if (take >= 4096 && is_zero(buffer_.span().first(take))) co_find_hole();
  return absl::OkStatus();
}

// Called where a piece turned out to be zero: what follows may be a hole that is much larger.
void MetadataReader::co_find_hole() {
  const uint64_t end = buffered_.end();
  const uint64_t size = file_.node->size();
  if (end >= size) return;
  const auto status = co_block_status(file_, {end, size - end});
  if (status.ok() && status->zero) hole_ = {end, status->length};
}

absl::Status MetadataReader::co_read_all(uint64_t offset, std::span<std::byte> bytes) {
  while (!bytes.empty()) {
    const auto piece = co_read(offset, bytes.size());
    if (!piece.ok()) return piece.status();
    if (piece->bytes.empty()) {
      std::memset(bytes.data(), 0, piece->size);
    } else {
      std::memcpy(bytes.data(), piece->bytes.data(), piece->size);
    }
    offset += piece->size;
    bytes = bytes.subspan(piece->size);
  }
  return absl::OkStatus();
}

}  // namespace penstock
