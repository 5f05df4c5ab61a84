// SPDX-License-Identifier: Apache-2.0
#include "drivers/qcow2/check/bitmap_walk.h"

#include <cerrno>
#include <cstddef>
#include <memory>

#include "base/big_endian.h"
#include "base/byte_range.h"
#include "base/status.h"
#include "drivers/qcow2/check/metadata_reader.h"
#include "drivers/qcow2/qcow2_format.h"

namespace penstock {
namespace {

constexpr uint64_t kMaxDirectorySize = 64 << 20;  // bytes
constexpr uint32_t kMaxTableEntries = 0x8000000;
constexpr uint64_t kMaxBitmapSize = 512 << 20;  // bytes in clusters
constexpr size_t kFixedSize = 24;               // bytes of a directory entry before its name
constexpr uint32_t kReservedFlags = ~uint32_t{3};
constexpr uint32_t kInUse = 1;
constexpr uint32_t kMaxNameSize = 1023;
constexpr uint64_t kTableReserved = 0xff000000000001fe;
constexpr uint64_t kTableAllOnes = 1;

// A directory entry, as far as references go.
struct BitmapEntry {
  uint64_t table_offset = 0;
  uint32_t table_entries = 0;
  uint64_t size = 0;  // bytes in the directory
};

absl::Status wrong(const char* what) { return errno_message(EINVAL, what); }

absl::StatusOr<BitmapEntry> parse_entry(const std::byte* bytes, const Qcow2Header& header) {
  BitmapEntry entry;
  entry.table_offset = load_be64(bytes);
  entry.table_entries = load_be32(bytes + 8);
  const uint32_t flags = load_be32(bytes + 12);
  const auto type = std::to_integer<unsigned>(bytes[16]);
  const auto granularity_bits = std::to_integer<unsigned>(bytes[17]);
  const uint32_t name_size = load_be16(bytes + 18);
  const uint32_t extra_size = load_be32(bytes + 20);
  entry.size = align_up(kFixedSize + uint64_t{extra_size} + name_size, 8);

  if (extra_size != 0) return wrong("it has extra data");
  if (type != 1) return wrong("its type is not known");
  if (name_size == 0 || name_size > kMaxNameSize) return wrong("its name is empty or too long");
  if ((flags & kReservedFlags) != 0) return wrong("reserved flags are set");
  if (granularity_bits < 9 || granularity_bits > 31) return wrong("its granularity cannot be");
  if (entry.table_offset == 0 || !is_aligned(entry.table_offset, header.cluster_size())) {
    return wrong("its table's offset is not that of a cluster");
  }
  if (entry.table_entries == 0 || entry.table_entries > kMaxTableEntries ||
      uint64_t{entry.table_entries} * header.cluster_size() > kMaxBitmapSize) {
    return wrong("its table's size cannot be");
  }
  const uint64_t granules = (header.size >> granularity_bits) +
                            ((header.size & ((uint64_t{1} << granularity_bits) - 1)) != 0 ? 1 : 0);
  const uint64_t bytes_needed = granules / 8 + (granules % 8 != 0 ? 1 : 0);
  const uint64_t clusters_needed =
      (bytes_needed + header.cluster_size() - 1) >> header.cluster_bits;
  if ((flags & kInUse) == 0 && entry.table_entries != clusters_needed) {
    return wrong("its table's size does not fit the disk's");
  }
  return entry;
}

class BitmapWalk {
 public:
  BitmapWalk(const Child& file, const Qcow2Header& header, const Qcow2Geometry& geometry,
             CheckPass& pass, CheckReport& report)
      : header_(header), geometry_(geometry), pass_(pass), report_(report), reader_(file) {}

  void co_walk_directory() IO_CODE {
    const uint64_t start = header_.bitmap_directory_offset;
    const uint64_t size = header_.bitmap_directory_size;
    pass_.refer(start, size, 1, "the bitmap directory");
    if (size > kMaxDirectorySize) return damaged("the bitmap directory is too large");
    uint64_t done = 0;
    for (uint32_t index = 0; index < header_.bitmap_count; ++index) {
      const std::string name = "bitmap " + std::to_string(index);
      if (size - done < kFixedSize) return damaged("the bitmap directory ends before " + name);
      std::byte bytes[kFixedSize];
      if (auto read = reader_.co_read_all(start + done, bytes); !read.ok()) {
        return damaged("the bitmap directory cannot be read: " + status_text(read));
      }
      const absl::StatusOr<BitmapEntry> entry = parse_entry(bytes, header_);
      if (!entry.ok()) return damaged(name + " is damaged: " + status_text(entry.status()));
      if (entry->size > size - done) return damaged("the bitmap directory ends inside " + name);
      done += entry->size;
      co_walk_table(*entry, name);
    }
    if (done != size) damaged("the bitmap directory has more bytes than bitmaps");
  }

 private:
  void co_walk_table(const BitmapEntry& bitmap, const std::string& name) IO_CODE {
    const uint64_t size = bitmap.table_entries * sizeof(uint64_t);
    pass_.refer(bitmap.table_offset, size, 1, "a bitmap table");
    for (uint64_t done = 0; done < size;) {
      const auto piece = reader_.co_read(bitmap.table_offset + done, size - done);
      if (!piece.ok()) {
        return damaged("the table of " + name + " cannot be read: " + status_text(piece.status()));
      }
      for (size_t at = 0; at < piece->bytes.size(); at += sizeof(uint64_t)) {
        const uint64_t entry = load_be64(&piece->bytes[at]);
        const uint64_t offset = entry & kQcow2OffsetMask;
        if ((entry & kTableReserved) != 0 || (offset != 0 && (entry & kTableAllOnes) != 0) ||
            geometry_.offset_in_cluster(offset) != 0) {
          damaged("entry " + hex(entry) + " of the table of " + name + " cannot be right");
        } else if (offset != 0) {
          pass_.refer(offset, geometry_.cluster_size(), 1, "a cluster of a bitmap");
        }
      }
      done += piece->size;
    }
  }

  void damaged(const std::string& what) {
    if (!pass_.is_first()) return;
    report_.corruption(1, [&] { return what; });
    report_.result().check_errors += 1;
  }

  const Qcow2Header& header_;
  const Qcow2Geometry geometry_;
  CheckPass& pass_;
  CheckReport& report_;
  MetadataReader reader_;
};

}  // namespace

void co_walk_qcow2_bitmaps(const Child& file, const Qcow2Header& header,
                           const Qcow2Geometry& geometry, CheckPass& pass, CheckReport& report) {
  // Without this mark a program that knows no bitmaps has changed the image: they are void.
  if (header.bitmap_count == 0 || (header.autoclear_features & kQcow2Bitmaps) == 0) return;
  std::make_unique<BitmapWalk>(file, header, geometry, pass, report)->co_walk_directory();
}

}  // namespace penstock
