// SPDX-License-Identifier: Apache-2.0
// A small valid qcow2 image, made in memory, of which every structure's place is known.
//
// Ownership: values.
// Threads: pure.
// Errors: none.
// Invariants: "qemu-img check" finds nothing wrong with it. The same plan gives the same bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "drivers/qcow2/qcow2_geometry.h"
#include "drivers/qcow2/qcow2_header.h"

namespace penstock {

struct ImagePlan {
  std::string name;  // for messages
  uint32_t version = 3;
  unsigned cluster_bits = 12;
  unsigned refcount_order = 4;
  bool extended_l2 = false;
  bool compressed = true;
  Qcow2Compression compression = Qcow2Compression::kZlib;
  bool snapshots = false;
  bool data_file = false;
  bool backing = false;
  std::string backing_format = "raw";
};

// One number in the image that somebody may have changed.
struct ImageField {
  // What a change of it may do to the newest state of the disk.
  enum class Damage : uint8_t {
    kAnything,      // or the image does not open
    kNothing,       // if the image opens
    kTable,         // the clusters of one L2 table
    kCluster,       // one cluster
    kNothingOpens,  // the image opens, and nothing is damaged
  };

  std::string name;
  uint64_t offset = 0;  // bytes
  unsigned size = 8;    // bytes
  Damage damage = Damage::kAnything;
  uint64_t index = 0;  // of the table or the cluster
};

// A cluster of the disk whose contents are known.
struct KnownCluster {
  uint64_t index = 0;  // guest offset in clusters
  std::vector<std::byte> bytes;
  // The image's bytes up to here decide about it: tables and data.
  uint64_t reach = 0;
};

struct BuiltImage {
  ImagePlan plan;
  Qcow2Geometry geometry;
  uint64_t size = 0;  // bytes of the disk
  std::vector<std::byte> bytes;
  std::vector<std::byte> backing;    // a raw file, if planned
  std::vector<std::byte> data_file;  // if planned
  std::vector<KnownCluster> clusters;
  std::vector<KnownCluster> snapshot_clusters;  // of the snapshot "first"
  std::vector<ImageField> fields;
  // Where structures begin, and end.
  std::vector<uint64_t> borders;
};

BuiltImage build_image(const ImagePlan& plan);

}  // namespace penstock
