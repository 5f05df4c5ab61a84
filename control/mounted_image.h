// SPDX-License-Identifier: Apache-2.0
// An image that is open in the daemon's graph and exported at a mount point: what `penstock mount`
// serves. To the daemon it is the export "mount" of the node "disk".
//
// Ownership: owns its backends, its tree, its mount and its uses of IoThreads; refers to the plan
//   and the daemon. co_stop() has ended it before it is destroyed. Its node "disk" stays in the
//   graph, to be closed with what others made of it.
// Threads: the control thread; the export's requests run on the IoThreads that it uses.
// Errors: co_start answers what failed, with everything taken back but for the node.
// Invariants: `ending` is called once, when there is no way back, before anything waits for a
//   request; `stopped` once, with the first failure, such as a failed flush, when it is served no
//   more and its node is released.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/thread_roles.h"
#include "control/daemon_state.h"
#include "control/export_threads.h"
#include "control/mount_plan.h"
#include "control/served_views.h"
#include "control/snapshot_views.h"
#include "fuse/fuse_export.h"
#include "fuse/served_tree.h"
#include "iothreads/co_mutex.h"

namespace penstock {

// The id of the export.
inline constexpr char kMountExportId[] = "mount";

class MountedImage final : public DaemonExport {
 public:
  struct Watcher {
    std::function<void(const std::string& cause)> ending;  // "an unmount", ...
    // `left`: the backends of snapshots, to be detached by the watcher. There may be a thousand,
    // and that they take their time is no reason to give up.
    std::function<void(const absl::Status& status, std::vector<std::unique_ptr<Backend>> left)>
        stopped;
    std::function<void(size_t iothreads)> co_moved;  // so many threads serve it now
  };

  // REQUIRES: the daemon's registry has `iothreads`.
  static absl::StatusOr<std::unique_ptr<MountedImage>> co_start(
      const MountPlan& plan, Daemon& daemon, const std::vector<std::string>& iothreads,
      Watcher watcher) CONTROL_COROUTINE_CODE;
  MountedImage(const MountedImage&) = delete;
  MountedImage& operator=(const MountedImage&) = delete;
  ~MountedImage() override;

  std::string type() const override { return "fuse"; }
  std::string node_name() const override GLOBAL_STATE_CODE;
  std::string mount_point() const override { return plan_.mount_point; }
  std::vector<std::string> iothreads() const override GLOBAL_STATE_CODE { return threads_.ids(); }
  absl::Status co_set_iothreads(const std::vector<std::string>& ids) override
      CONTROL_COROUTINE_CODE;
  absl::Status co_stop(Mode mode) override CONTROL_COROUTINE_CODE;
  bool end_is_told() const override { return true; }

  // A probe keeps the mount busy, and who waits for it cannot go: from now on nobody looks for
  // partitions.
  void stop_looking() GLOBAL_STATE_CODE;

  const std::string& format() const { return format_; }
  const std::string& clone_failure() const { return export_->clone_failure(); }

 private:
  MountedImage(const MountPlan& plan, Daemon& daemon, Watcher watcher);

  absl::Status co_open(const std::vector<std::string>& iothreads) CONTROL_COROUTINE_CODE;
  absl::Status co_open_image() CONTROL_COROUTINE_CODE;
  absl::Status co_start_export() CONTROL_COROUTINE_CODE;
  void make_tree(bool covers_file) GLOBAL_STATE_CODE;
  void co_complete_tree() CONTROL_COROUTINE_CODE;
  void watch_session() GLOBAL_STATE_CODE;
  absl::Status co_release() CONTROL_COROUTINE_CODE;
  ServedFile served_disk() const;

  const MountPlan& plan_;
  Daemon& daemon_;
  const Watcher watcher_;
  std::string format_;
  ExportThreads threads_;
  std::unique_ptr<Backend> backend_;
  std::string last_node_name_;  // once the backend has gone
  std::unique_ptr<ServedTree> tree_;
  // In a directory only.
  std::unique_ptr<ServedViews> views_;
  std::unique_ptr<SnapshotViews> snapshots_;
  std::unique_ptr<FuseExport> export_;
  bool being_removed_ = false;  // by co_stop(), not by an unmount
  CoEvent session_watched_;
  CoMutex moving_;         // held while its threads change
  bool stopping_ = false;  // there is no way back
};

}  // namespace penstock
