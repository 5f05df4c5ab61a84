// SPDX-License-Identifier: Apache-2.0
// What an L2 entry says about a cluster, or about a run of its subclusters.
//
// Ownership: values.
// Threads: pure.
// Errors: EIO for an entry that the format forbids (reserved bits, an unaligned offset, a zero flag
//   in version 2, a subcluster that is allocated and zero). The text says why; where, the caller.
// Invariants: an extent never reaches past its cluster. Host offsets are below 2^56.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "drivers/qcow2/qcow2_geometry.h"

namespace penstock {

struct Qcow2L2Entry {
  uint64_t descriptor = 0;
  uint64_t subclusters = 0;  // extended entries: low half allocated, high half zero
};

enum class Qcow2ExtentKind : uint8_t { kUnallocated, kZero, kData, kCompressed };

struct Qcow2Extent {
  Qcow2ExtentKind kind = Qcow2ExtentKind::kUnallocated;
  // Bytes. kData: where the extent's first byte is; kZero: the same if space is kept, else 0.
  uint64_t host_offset = 0;
  uint64_t length = 0;  // bytes of this cluster that are alike, from the offset asked for on
};

// The extent at `offset_in_cluster` (bytes) of the cluster that `entry` describes.
absl::StatusOr<Qcow2Extent> qcow2_extent(const Qcow2Geometry& geometry, Qcow2L2Entry entry,
                                         uint64_t offset_in_cluster);

// Where the compressed bytes of a cluster are. The size counts whole 512-byte sectors and may be
// larger than the data.
struct Qcow2CompressedRange {
  uint64_t offset = 0;  // bytes
  uint64_t size = 0;    // bytes
};
Qcow2CompressedRange qcow2_compressed_range(const Qcow2Geometry& geometry, uint64_t descriptor);

}  // namespace penstock
