// SPDX-License-Identifier: Apache-2.0
// drivers/qcow2/qcow2_header.h with any bytes as an image's head.
//
// Input: the head; its last two bytes say how many clusters of 64 KiB follow in the file.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "base/byte_range.h"
#include "base/status.h"
#include "drivers/qcow2/qcow2_format.h"
#include "drivers/qcow2/qcow2_header.h"
#include "fuzz/expect.h"

using penstock::expect;
using penstock::Qcow2Header;

namespace {

bool has_nul(const std::string& text) { return text.find('\0') != std::string::npos; }

void check_table(const Qcow2Header& header, uint64_t offset, uint64_t size, const char* what) {
  expect(penstock::is_aligned(offset, header.cluster_size()), what);
  expect(penstock::checked_add(offset, size).has_value(), what);
}

void check_promises(const Qcow2Header& header) {
  expect(header.version == 2 || header.version == 3, "the version is 2 or 3");
  expect(header.cluster_bits >= penstock::kQcow2MinClusterBits &&
             header.cluster_bits <= penstock::kQcow2MaxClusterBits,
         "the cluster size is within its limits");
  expect(header.refcount_bits >= 1 && header.refcount_bits <= 64 &&
             (header.refcount_bits & (header.refcount_bits - 1)) == 0,
         "refcounts are 1 to 64 bits wide");
  const uint64_t l1_size = uint64_t{header.l1_entries} * 8;
  expect(l1_size <= penstock::kQcow2MaxL1Size, "the L1 table is within its limit");
  const uint64_t refcount_table_size = header.refcount_table_clusters * header.cluster_size();
  expect(refcount_table_size <= penstock::kQcow2MaxRefcountTableSize,
         "the refcount table is within its limit");
  expect(header.snapshot_count <= penstock::kQcow2MaxSnapshots, "snapshots are within their limit");
  check_table(header, header.l1_offset, l1_size, "the L1 table has a possible place");
  check_table(header, header.refcount_table_offset, refcount_table_size,
              "the refcount table has a possible place");
  if (header.snapshot_count > 0) {
    check_table(header, header.snapshots_offset, penstock::kQcow2MaxSnapshotTableSize,
                "the snapshot table has a possible place");
  }
  if (header.bitmap_directory_offset != 0) {
    check_table(header, header.bitmap_directory_offset, header.bitmap_directory_size,
                "the bitmap directory has a possible place");
  }
  const unsigned l2_bits =
      header.cluster_bits - (header.has_incompatible(penstock::kQcow2ExtendedL2) ? 4 : 3);
  const uint64_t per_entry = uint64_t{1} << (header.cluster_bits + l2_bits);
  expect(header.size / per_entry + (header.size % per_entry != 0) <= header.l1_entries,
         "the L1 table covers the disk");
  expect((header.incompatible_features & ~penstock::kQcow2KnownIncompatible) == 0,
         "unknown features are refused");
  expect(header.backing_name.size() <= penstock::kQcow2MaxBackingNameLength,
         "the backing file's name is within its limit");
  expect(!has_nul(header.backing_name) && !has_nul(header.data_file_name),
         "names of files have no NUL inside");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  // A copy of exactly this length, so that a sanitizer sees a read past its end.
  std::vector<std::byte> bytes(size - 2);
  if (!bytes.empty()) std::memcpy(bytes.data(), data, bytes.size());
  const uint64_t more = uint64_t{data[size - 2]} | uint64_t{data[size - 1]} << 8;
  const uint64_t file_size = bytes.size() + (more << 16);

  const std::span<const std::byte> start =
      std::span<const std::byte>(bytes).first(std::min<size_t>(bytes.size(), 24));
  const auto head_size = penstock::qcow2_head_size(start, file_size);
  if (!head_size.ok()) {
    expect(penstock::status_errno(head_size.status()) != 0, "errors have an errno");
    return 0;
  }
  expect(*head_size <= uint64_t{1} << penstock::kQcow2MaxClusterBits,
         "the head is not longer than a cluster");
  expect(*head_size <= file_size, "the head is not longer than the file");
  bytes.resize(*head_size);
  bytes.shrink_to_fit();
  const auto header = penstock::parse_qcow2_header(bytes, file_size);
  if (header.ok()) check_promises(*header);
  return 0;
}
