// SPDX-License-Identifier: Apache-2.0
#include "drivers/qcow2/qcow2_bitmap_directory.h"

#include <cerrno>
#include <cstddef>
#include <span>

#include "base/big_endian.h"
#include "base/byte_range.h"
#include "base/status.h"
#include "block/io/child_io.h"
#include "block/node/node.h"

namespace penstock {
namespace {

constexpr uint64_t kMaxDirectorySize = 1 << 20;  // bytes
constexpr size_t kFixedSize = 24;
constexpr uint32_t kInUse = 1U << 0;
constexpr uint32_t kAutomatic = 1U << 1;

}  // namespace

absl::StatusOr<std::vector<Qcow2Bitmap>> co_read_qcow2_bitmaps(const Child& file,
                                                               const Qcow2Header& header) {
  const uint64_t size = header.bitmap_directory_size;
  const uint64_t offset = header.bitmap_directory_offset;
  const uint64_t file_size = file.node->size();
  if (size > kMaxDirectorySize || offset >= file_size || size > file_size - offset) {
    return errno_message(EINVAL, "qcow2: the bitmap directory is too large or not in the file.");
  }
  std::vector<std::byte> directory(size);
  const iovec segment = iovec_of(std::span(directory));
  if (auto status = co_preadv(file, offset, IoVector(segment)); !status.ok()) return status;

  std::vector<Qcow2Bitmap> bitmaps;
  std::span<const std::byte> left(directory);
  while (left.size() >= kFixedSize && bitmaps.size() < header.bitmap_count) {
    const uint32_t flags = load_be32(&left[12]);
    const size_t name_size = load_be16(&left[18]);
    const uint64_t extra_size = load_be32(&left[20]);
    const uint64_t entry_size = align_up(kFixedSize + extra_size + name_size, 8);
    Qcow2Bitmap bitmap;
    bitmap.granularity_bits = static_cast<unsigned>(left[17]);
    if (entry_size > left.size() || bitmap.granularity_bits > 63) break;
    bitmap.in_use = (flags & kInUse) != 0;
    bitmap.automatic = (flags & kAutomatic) != 0;
    bitmap.name.assign(reinterpret_cast<const char*>(&left[kFixedSize]) + extra_size, name_size);
    bitmaps.push_back(std::move(bitmap));
    left = left.subspan(entry_size);
  }
  if (bitmaps.size() != header.bitmap_count) {
    return errno_message(EINVAL, "qcow2: the bitmap directory is damaged.");
  }
  return bitmaps;
}

}  // namespace penstock
