// SPDX-License-Identifier: Apache-2.0
// The files of a disk's partitions, and the links that name them by what is in them.
//
// Ownership: adds to the tree, which owns its entries.
// Threads: the control thread.
// Errors: none; partitions and labels that cannot be shown are left out.
// Invariants: a partition is a window of the disk, within it, and never grows. The first partition
//   with a label has the link.
#pragma once

#include <cstdint>

#include "base/thread_roles.h"
#include "control/partition_table.h"
#include "fuse/served_tree.h"

namespace penstock {

// Adds p1, p2, ... and those of by-label, by-uuid and by-partname that have entries to `directory`,
// where `disk` is shown as "disk". REQUIRES: confine_partitions().
void add_partition_entries(ServedTree& tree, uint64_t directory, const ServedFile& disk,
                           const PartitionTable& table) GLOBAL_STATE_CODE;

}  // namespace penstock
