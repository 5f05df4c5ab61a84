// SPDX-License-Identifier: Apache-2.0
// The header of a qcow2 image with its extensions, checked.
//
// Ownership: values.
// Threads: pure.
// Errors: EINVAL for what the format forbids or Penstock does not take, naming the field and its
//   value; ENOTSUP for features that are known and not supported (encryption) or unknown, by the
//   names that the image itself gives them.
// Invariants: every field of a parsed header is within the limits of qcow2_format.h; the tables
//   that it names are aligned and do not overlap the header; offsets plus lengths do not overflow.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "drivers/qcow2/qcow2_geometry.h"

namespace penstock {

enum class Qcow2Compression : uint8_t { kZlib = 0, kZstd = 1 };

struct Qcow2FeatureName {
  uint8_t type = 0;  // 0 incompatible, 1 compatible, 2 autoclear
  uint8_t bit = 0;
  std::string name;
};

struct Qcow2Header {
  uint32_t version = 0;  // 2 or 3
  unsigned cluster_bits = 0;
  uint64_t size = 0;  // bytes of the disk
  uint64_t l1_offset = 0;
  uint32_t l1_entries = 0;
  uint64_t refcount_table_offset = 0;
  uint32_t refcount_table_clusters = 0;
  unsigned refcount_bits = 16;  // width of a refcount: 1, 2, 4, ... 64
  uint32_t snapshot_count = 0;
  uint64_t snapshots_offset = 0;
  uint64_t incompatible_features = 0;
  uint64_t compatible_features = 0;
  uint64_t autoclear_features = 0;
  uint32_t header_length = 0;
  Qcow2Compression compression = Qcow2Compression::kZlib;
  std::string backing_name;    // empty: none
  std::string backing_format;  // empty: not said
  std::string data_file_name;  // empty: not said, or none
  uint32_t bitmap_count = 0;
  uint64_t bitmap_directory_offset = 0;  // bytes; 0: none
  uint64_t bitmap_directory_size = 0;    // bytes
  std::vector<Qcow2FeatureName> feature_names;

  uint64_t cluster_size() const { return uint64_t{1} << cluster_bits; }
  bool has_incompatible(uint64_t bit) const { return (incompatible_features & bit) != 0; }
};

// How many bytes of the image's start parse_qcow2_header() wants, from its first 24 bytes: its
// first cluster, or the file if that is shorter. EINVAL if that is no qcow2 header at all.
absl::StatusOr<uint64_t> qcow2_head_size(std::span<const std::byte> first_bytes,
                                         uint64_t file_size);

// Whether an image is opened whose L1 or refcount table is lost: a check of it says more than a
// refusal.
enum class Qcow2LostTables : uint8_t { kRefuse, kAccept };

// `head`: as many bytes as qcow2_head_size() says. `file_size` in bytes.
absl::StatusOr<Qcow2Header> parse_qcow2_header(
    std::span<const std::byte> head, uint64_t file_size,
    Qcow2LostTables lost_tables = Qcow2LostTables::kRefuse);

// How the disk of an image with this header is cut.
Qcow2Geometry qcow2_geometry(const Qcow2Header& header);

}  // namespace penstock
