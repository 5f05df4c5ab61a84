// SPDX-License-Identifier: Apache-2.0
// "qcow2": QEMU's copy-on-write format, read-only, versions 2 and 3.
//
// Ownership: a node owns the driver; its children's edges belong to the node.
// Threads: I/O functions on any context, many at once; a lookup that hits the table cache takes no
//   lock. Facts do not change after construction.
// Errors: opening: as qcow2_header.h. Reading: EIO for the damaged range alone. Writing: EROFS.
// Invariants: the image is never written. Memory is bounded whatever the image says: tables are
//   paged through caches of fixed size.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "block/node/driver.h"
#include "drivers/qcow2/qcow2_bitmap_directory.h"
#include "drivers/qcow2/qcow2_cache_share.h"
#include "drivers/qcow2/qcow2_compressed_clusters.h"
#include "drivers/qcow2/qcow2_geometry.h"
#include "drivers/qcow2/qcow2_header.h"
#include "drivers/qcow2/qcow2_mapper.h"
#include "drivers/qcow2/qcow2_snapshot_table.h"
#include "drivers/qcow2/qcow2_table_cache.h"

namespace penstock {

struct Child;

// What opening found in the image. For a view of a snapshot the table and the bitmaps are left out:
// they are the image's, and many views may be open.
struct Qcow2Image {
  Qcow2Header header;
  Qcow2SnapshotTable snapshot_table;
  std::vector<Qcow2Bitmap> bitmaps;  // empty too if they cannot be read
};

// EROFS.
absl::Status refuse_qcow2_writing();

class Qcow2Driver final : public Driver, public MappedIo, public Checkable {
 public:
  // What the node shows: the newest state, or a snapshot's.
  struct View {
    uint64_t size = 0;  // bytes
    Qcow2Mapper::Table l1;
    bool is_snapshot = false;
  };

  Qcow2Driver(const Child& file, Qcow2Image image, View view);

  MappedIo* mapped_io() override { return this; }
  Checkable* checkable() override { return is_snapshot_ ? nullptr : this; }
  std::vector<ImageSnapshot> snapshots() const override;
  // {"format-specific": as qemu-img info's, "cluster-size": bytes, "dirty-flag": bool,
  //  "backing-filename": string?, "backing-filename-format": string?}
  nlohmann::json describe() const override;
  // That the image is marked corrupt, or has a snapshot table that cannot be read.
  std::vector<std::string> warnings() const override;
  // Another backing file, and filters above the file that is open; EROFS for writing.
  absl::StatusOr<Reopened> co_prepare_reopen(const ReopenContext& context)
      CONTROL_COROUTINE_CODE override;

 private:
  absl::StatusOr<Mapping> co_map(ByteRange range, MapIntent intent) IO_CODE override;
  absl::Status co_read_special(const Mapping& mapping, const IoVector& data) IO_CODE override;
  absl::StatusOr<ImageCheck> co_check() IO_CODE override;

  const Child& file_;
  const Qcow2Image image_;
  const bool is_snapshot_;
  const Qcow2Geometry geometry_;
  const uint64_t mapped_size_;  // bytes of the disk that the L1 table covers
  const Qcow2CacheShare table_share_;
  Qcow2TableCache cache_;
  Qcow2Mapper mapper_;
  Qcow2CompressedClusters compressed_;
};

class Qcow2DriverType final : public DriverType {
 public:
  std::string_view name() const override { return "qcow2"; }
  bool has_file_child() const override { return true; }
  bool takes_child(std::string_view child_name) const override {
    return child_name == "file" || child_name == "backing" || child_name == "data-file";
  }
  int probe(std::span<const std::byte> head) const override;
  absl::StatusOr<LoadedDriver> co_load(const LoadContext& context) const IO_CODE override;
};

}  // namespace penstock
