// SPDX-License-Identifier: Apache-2.0
// From a guest range to where its bytes are, by one L1 table and the L2 tables below it.
//
// Ownership: owned by the driver; refers to its cache and to the edges of its node.
// Threads: in flight in the image's node, on any context.
// Errors: EIO for the range of a damaged entry alone: a table that is not aligned, lies in the
//   header or past the end of the file, an entry that the format forbids, data that begins past the
//   end of its file, or elsewhere in an external data file than in the disk. The text names the
//   guest offset and the entry.
// Invariants: an answer covers as many alike and adjoining bytes as the cached slices show, but
//   never goes on into a damaged entry, nor through more than 16384 entries. A file may end inside
//   its last cluster: the rest of that is zero. A hit does not yield. Nothing is changed.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "base/byte_range.h"
#include "base/thread_roles.h"
#include "block/node/child.h"
#include "block/node/mapping.h"
#include "drivers/qcow2/qcow2_geometry.h"
#include "drivers/qcow2/qcow2_l2_entry.h"
#include "drivers/qcow2/qcow2_table_cache.h"

namespace penstock {

class Qcow2Mapper {
 public:
  struct Table {
    uint64_t offset = 0;  // bytes
    uint32_t entries = 0;
  };
  // `backing` may be nullptr. `data` is the edge that host offsets of data refer to: the image file
  // or the external data file.
  struct Edges {
    const Child* file = nullptr;
    const Child* data = nullptr;
    const Child* backing = nullptr;
  };

  // Edges that appear after loading (data file, backing) are looked up by `edges` in each request.
  Qcow2Mapper(const Qcow2Geometry& geometry, Table l1, Qcow2TableCache& cache)
      : geometry_(geometry), l1_(l1), cache_(cache) {}

  absl::StatusOr<Mapping> co_map(const Edges& edges, ByteRange range) IO_CODE;
  // The L2 entry of the cluster at `guest` (bytes); zero where the L1 entry or the table is absent.
  absl::StatusOr<Qcow2L2Entry> co_entry(const Child& file, uint64_t guest) IO_CODE;

 private:
  const Qcow2Geometry geometry_;
  const Table l1_;
  Qcow2TableCache& cache_;
};

}  // namespace penstock
