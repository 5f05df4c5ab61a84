// SPDX-License-Identifier: Apache-2.0
// The table of internal snapshots.
//
// Ownership: values.
// Threads: in flight in the image's node.
// Errors: EINVAL for a table that the format forbids or that is larger than the limits of
//   qcow2_format.h; EIO where the file ends before it.
// Invariants: reads in pieces; memory is bounded by the limits: of longer ids and names the
//   beginning is kept, as QEMU's tools show them. What an entry says about its own L1 table is not
//   checked until that snapshot is wanted: one bad entry harms no other.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/thread_roles.h"
#include "block/node/child.h"
#include "block/node/image_snapshot.h"
#include "drivers/qcow2/qcow2_header.h"

namespace penstock {

struct Qcow2Snapshot {
  ImageSnapshot facts;
  uint64_t l1_offset = 0;  // bytes
  uint32_t l1_entries = 0;
  uint32_t extra_data_size = 0;  // bytes; version 3 wants at least 16
};

struct Qcow2SnapshotTable {
  std::vector<Qcow2Snapshot> snapshots;
  uint64_t size = 0;    // bytes of the table in the file
  absl::Status damage;  // why nothing is known of the snapshots that the header counts
};

// Shows each snapshot to `see`, in the table's order, with its whole id and name. Answers the
// table's size in bytes.
absl::StatusOr<uint64_t> co_walk_qcow2_snapshots(
    const Child& file, const Qcow2Header& header,
    const std::function<void(const Qcow2Snapshot&)>& see) IO_CODE;

// What is kept of a snapshot: the id and the name are cut to their limits.
Qcow2Snapshot kept_qcow2_snapshot(const Qcow2Snapshot& snapshot);

absl::StatusOr<Qcow2SnapshotTable> co_read_qcow2_snapshots(const Child& file,
                                                           const Qcow2Header& header) IO_CODE;

// EINVAL or EFBIG if the snapshot cannot be opened: its L1 table is not aligned, in the header, too
// large, or begins past the end of the file; its disk is larger than any L1 table can map.
absl::Status check_qcow2_snapshot(const Qcow2Header& header, const Qcow2Snapshot& snapshot,
                                  uint64_t file_size);

}  // namespace penstock
