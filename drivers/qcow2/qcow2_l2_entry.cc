// SPDX-License-Identifier: Apache-2.0
#include "drivers/qcow2/qcow2_l2_entry.h"

#include <algorithm>
#include <bit>
#include <cerrno>

#include "base/byte_range.h"
#include "base/status.h"

namespace penstock {
namespace {

constexpr uint64_t kSectorSize = 512;
constexpr uint64_t kHostOffsetLimit = uint64_t{1} << 56;

absl::Status damaged(const char* why) { return errno_message(EIO, why); }

// How many of the bits from `first` on are equal to that one.
unsigned run_length(uint32_t bits, unsigned first) {
  const uint32_t from_first = bits >> first;
  const int same =
      (from_first & 1) != 0 ? std::countr_one(from_first) : std::countr_zero(from_first);
  return std::min(static_cast<unsigned>(same), kQcow2SubclustersPerCluster - first);
}

absl::StatusOr<Qcow2Extent> extended_extent(const Qcow2Geometry& geometry, Qcow2L2Entry entry,
                                            bool allocated, uint64_t host_offset,
                                            uint64_t offset_in_cluster) {
  const auto data = static_cast<uint32_t>(entry.subclusters);
  const auto zero = static_cast<uint32_t>(entry.subclusters >> 32);
  const uint64_t subcluster_size = geometry.subcluster_size();
  const auto index = static_cast<unsigned>(offset_in_cluster / subcluster_size);
  Qcow2Extent extent;
  if (((data >> index) & 1) != 0) {
    // Only this subcluster is damaged: its neighbours may well be sound.
    if (((zero >> index) & 1) != 0) return damaged("a subcluster is both allocated and zero");
    if (!allocated) return damaged("a subcluster is allocated, but its cluster is not");
    extent.kind = Qcow2ExtentKind::kData;
    extent.host_offset = host_offset + offset_in_cluster;
  } else if (((zero >> index) & 1) != 0) {
    extent.kind = Qcow2ExtentKind::kZero;
    if (host_offset != 0) extent.host_offset = host_offset + offset_in_cluster;
  }
  const unsigned run = std::min(run_length(data, index), run_length(zero, index));
  extent.length = (index + run) * subcluster_size - offset_in_cluster;
  return extent;
}

}  // namespace

absl::StatusOr<Qcow2Extent> qcow2_extent(const Qcow2Geometry& geometry, Qcow2L2Entry entry,
                                         uint64_t offset_in_cluster) {
  const uint64_t descriptor = entry.descriptor;
  Qcow2Extent extent;
  extent.length = geometry.cluster_size() - offset_in_cluster;
  if ((descriptor & kQcow2Compressed) != 0) {
    if (geometry.external_data) {
      return damaged("a cluster of an external data file is compressed");
    }
    if (qcow2_compressed_range(geometry, descriptor).offset >= kHostOffsetLimit) {
      return damaged("its offset is 2^56 or more");
    }
    extent.kind = Qcow2ExtentKind::kCompressed;
    return extent;
  }

  if ((descriptor & kQcow2L2Reserved) != 0) return damaged("reserved bits are set");
  const uint64_t host_offset = descriptor & kQcow2OffsetMask;
  if (!is_aligned(host_offset, geometry.cluster_size())) {
    return damaged("its offset is not that of a cluster");
  }
  // In an external data file offset 0 is a place like any other.
  const bool allocated =
      host_offset != 0 || (geometry.external_data && (descriptor & kQcow2Copied) != 0);
  const bool zero = (descriptor & kQcow2ZeroFlag) != 0;
  if (geometry.extended_l2) {
    if (zero) return damaged("the zero flag is set beside subclusters");
    return extended_extent(geometry, entry, allocated, host_offset, offset_in_cluster);
  }
  if (zero) {
    if (geometry.version < 3) return damaged("the zero flag is set in version 2");
    extent.kind = Qcow2ExtentKind::kZero;
    if (host_offset != 0) extent.host_offset = host_offset + offset_in_cluster;
  } else if (allocated) {
    extent.kind = Qcow2ExtentKind::kData;
    extent.host_offset = host_offset + offset_in_cluster;
  }
  return extent;
}

Qcow2CompressedRange qcow2_compressed_range(const Qcow2Geometry& geometry, uint64_t descriptor) {
  const unsigned size_bits = geometry.cluster_bits - 8;
  const unsigned offset_bits = 62 - size_bits;
  const uint64_t offset = descriptor & ((uint64_t{1} << offset_bits) - 1);
  const uint64_t more_sectors = (descriptor >> offset_bits) & ((uint64_t{1} << size_bits) - 1);
  return {offset, (more_sectors + 1) * kSectorSize - offset % kSectorSize};
}

}  // namespace penstock
