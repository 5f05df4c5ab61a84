// SPDX-License-Identifier: Apache-2.0
// Disks as directories of a mount: "disk", its partitions, and links to them.
//
// Ownership: refers to the plan and the tree, which outlive it; backends outlive the tree.
// Threads: the control thread.
// Errors: a disk whose partitions cannot be found is shown without them, and the log says why.
// Invariants: the probe reads a disk through a hidden file, never through a directory that somebody
//   may be waiting to look into: the kernel would make it wait for that lookup.
#pragma once

#include <cstdint>

#include "base/thread_roles.h"
#include "control/mount_plan.h"
#include "control/partition_table.h"
#include "fuse/served_tree.h"

namespace penstock {

class ServedViews {
 public:
  // Adds the hidden directory to the root of `tree`.
  ServedViews(const MountPlan& plan, ServedTree& tree) GLOBAL_STATE_CODE;
  ServedViews(const ServedViews&) = delete;
  ServedViews& operator=(const ServedViews&) = delete;

  // The partitions of `backend`, called `what` in the log; none if the plan wants none. REQUIRES:
  // the tree is being served.
  PartitionTable co_find_partitions(Backend& backend,
                                    const std::string& what) CONTROL_COROUTINE_CODE;

 private:
  const MountPlan& plan_;
  ServedTree& tree_;
  const uint64_t hidden_;  // node number
  uint64_t next_file_ = 0;
};

}  // namespace penstock
