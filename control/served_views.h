// SPDX-License-Identifier: Apache-2.0
// Disks as directories of a mount: "disk", its partitions, and links to them.
//
// Ownership: refers to the plan and the tree, which outlive it; backends outlive the tree.
//   Destroyed after the last co_find_partitions() has returned.
// Threads: the control thread.
// Errors: those of looking for partitions; the log says them too, but for ECANCELED.
// Invariants: the probe reads a disk through a hidden file, never through a directory that somebody
//   may be waiting to look into: the kernel would make it wait for that lookup.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "base/thread_roles.h"
#include "control/mount_plan.h"
#include "control/partition_probe.h"
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
  absl::StatusOr<PartitionTable> co_find_partitions(Backend& backend,
                                                    const std::string& what) CONTROL_COROUTINE_CODE;

  // Whoever looks for partitions shall stop, and nobody start: the mount is about to go.
  void stop_looking() GLOBAL_STATE_CODE { probe_.cancel(); }
  bool has_stopped_looking() const { return probe_.is_cancelled(); }

 private:
  const std::string& hidden_file(Backend& backend) GLOBAL_STATE_CODE;

  const MountPlan& plan_;
  ServedTree& tree_;
  const uint64_t hidden_;  // node number
  std::map<Backend*, std::string> files_;
  PartitionProbe probe_;
};

}  // namespace penstock
