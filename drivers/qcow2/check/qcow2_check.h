// SPDX-License-Identifier: Apache-2.0
// The check of a qcow2 image: counts the references to each cluster of the file and compares them
// with the image's refcounts and flags.
//
// Ownership: nothing is kept.
// Threads: in flight in the image's node, on any context.
// Errors: EFBIG for an image that would need too many passes; EIO and the file's own if not even
//   the refcount table can be read. Everything else is in the result.
// Invariants: the image is not changed. Memory is at most about 64 MiB: counts are kept for one
//   window of the file at a time, and a larger file has its metadata walked once for each window
//   that is in use. Each L2 table is read once a pass, however many L1 entries name it.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "base/thread_roles.h"
#include "block/node/child.h"
#include "block/node/image_check.h"
#include "drivers/qcow2/check/reference_counts.h"
#include "drivers/qcow2/qcow2_header.h"
#include "drivers/qcow2/qcow2_snapshot_table.h"

namespace penstock {

// `memory`: bytes for the counts of a window.
absl::StatusOr<ImageCheck> co_check_qcow2(const Child& file, const Qcow2Header& header,
                                          const Qcow2SnapshotTable& snapshots,
                                          uint64_t memory = ReferenceCounts::kMemory) IO_CODE;

}  // namespace penstock
