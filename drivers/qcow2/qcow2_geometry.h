// SPDX-License-Identifier: Apache-2.0
// How a qcow2 disk is cut: guest offset to table indices.
//
// Ownership: a value.
// Threads: pure.
// Errors: none; offsets are below the disk's size, checked before.
// Invariants: an L2 table fills one cluster.
#pragma once

#include <cstdint>

#include "drivers/qcow2/qcow2_format.h"

namespace penstock {

struct Qcow2Geometry {
  unsigned cluster_bits = 16;
  bool extended_l2 = false;    // 16-byte L2 entries with a subcluster bitmap
  bool external_data = false;  // guest clusters are in another file, where offset 0 is a place
  uint32_t version = 3;

  uint64_t cluster_size() const { return uint64_t{1} << cluster_bits; }
  uint64_t offset_in_cluster(uint64_t guest) const { return guest & (cluster_size() - 1); }
  unsigned words_per_l2_entry() const { return extended_l2 ? 2 : 1; }
  unsigned l2_bits() const { return cluster_bits - (extended_l2 ? 4 : 3); }
  uint64_t l2_index(uint64_t guest) const {
    return (guest >> cluster_bits) & ((uint64_t{1} << l2_bits()) - 1);
  }
  uint64_t l1_index(uint64_t guest) const { return guest >> (cluster_bits + l2_bits()); }
  // Bytes of the disk that one L2 table maps.
  uint64_t bytes_per_l2_table() const { return uint64_t{1} << (cluster_bits + l2_bits()); }
  uint64_t subcluster_size() const {
    return extended_l2 ? cluster_size() / kQcow2SubclustersPerCluster : cluster_size();
  }
};

}  // namespace penstock
