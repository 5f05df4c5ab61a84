// SPDX-License-Identifier: Apache-2.0
// An image that is open in the graph and exported at a mount point.
//
// Ownership: owns the graph, the backend and the export; refers to the drivers, the host services
//   and the plan. co_stop() has returned before it is destroyed, if co_start() was OK.
// Threads: the control thread; the export's requests run on the queues' contexts.
// Errors: co_start answers what failed, with everything taken back.
// Invariants: co_stop always ends the export and closes the image, unless it answers `abandoned`.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/thread_roles.h"
#include "block/graph/graph.h"
#include "control/image_names_policy.h"
#include "control/mount_plan.h"
#include "control/served_views.h"
#include "control/snapshot_views.h"
#include "fuse/fuse_export.h"
#include "fuse/served_tree.h"

namespace penstock {

class MountedImage {
 public:
  MountedImage(const MountPlan& plan, const DriverRegistry& drivers, HostServices& host);
  MountedImage(const MountedImage&) = delete;
  MountedImage& operator=(const MountedImage&) = delete;

  absl::Status co_start(std::vector<std::shared_ptr<AioContext>> queues) CONTROL_COROUTINE_CODE;

  struct End {
    absl::Status status;     // the first failure, such as a failed flush
    bool abandoned = false;  // requests hang: nothing may be destroyed, the process must end
  };
  End co_stop() CONTROL_COROUTINE_CODE;

  const std::string& format() const { return format_; }
  FuseExport& fuse_export() { return *export_; }

 private:
  absl::Status co_open_image() CONTROL_COROUTINE_CODE;
  absl::Status co_start_export(std::vector<std::shared_ptr<AioContext>> queues)
      CONTROL_COROUTINE_CODE;
  void make_tree(bool covers_file) GLOBAL_STATE_CODE;
  void co_complete_tree() CONTROL_COROUTINE_CODE;
  absl::Status co_close_image() CONTROL_COROUTINE_CODE;
  ServedFile served_disk() const;
  std::vector<Backend*> backends() const GLOBAL_STATE_CODE;
  bool only_flushes_in_flight() const;

  const MountPlan& plan_;
  ImageNamesPolicy names_;
  Graph graph_;
  std::string format_;
  bool node_is_open_ = false;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<ServedTree> tree_;
  // In a directory only.
  std::unique_ptr<ServedViews> views_;
  std::unique_ptr<SnapshotViews> snapshots_;
  std::unique_ptr<FuseExport> export_;
};

}  // namespace penstock
