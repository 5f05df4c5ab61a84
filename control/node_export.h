// SPDX-License-Identifier: Apache-2.0
// A node, mounted: as the file "disk" in a directory, or in place of a regular file.
//
// Ownership: owns its backend, its tree, its mount and its uses of IoThreads; refers to the daemon.
//   co_stop() has ended it before it is destroyed.
// Threads: the control thread; requests run on the IoThreads that it uses.
// Errors: of starting: those of the node, the permissions and the mount, with everything taken
//   back.
// Invariants: `penstock ls` and `penstock umount` find it by its record for as long as it lives.
//   Somebody else may unmount it at any time: on_ended is then called, once.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/thread_roles.h"
#include "block/backend/backend.h"
#include "control/daemon_state.h"
#include "control/export_threads.h"
#include "control/mount_registry.h"
#include "fuse/fuse_export.h"
#include "fuse/served_tree.h"
#include "iothreads/co_mutex.h"

namespace penstock {

struct NodeExportOptions {
  enum class AllowOther : uint8_t { kOff, kOn, kAuto };  // kAuto: if the system lets us

  std::string id;
  std::string node_name;
  std::string mount_point;
  bool writable = false;
  bool growable = false;  // for writable ones
  AllowOther allow_other = AllowOther::kAuto;
  std::vector<std::string> iothreads;  // ids; empty: the default threads
};

class NodeExport final : public DaemonExport {
 public:
  // Returns when the file can be opened and read. `on_ended`: the mount has gone by itself, and
  // co_stop() is to be called.
  static absl::StatusOr<std::unique_ptr<DaemonExport>> co_start(
      Daemon& daemon, const NodeExportOptions& options,
      std::function<void()> on_ended) CONTROL_COROUTINE_CODE;
  NodeExport(const NodeExport&) = delete;
  NodeExport& operator=(const NodeExport&) = delete;
  ~NodeExport() override;

  std::string type() const override { return "fuse"; }
  std::string node_name() const override GLOBAL_STATE_CODE;
  std::string mount_point() const override { return options_.mount_point; }
  std::vector<std::string> iothreads() const override GLOBAL_STATE_CODE;
  absl::Status co_set_iothreads(const std::vector<std::string>& ids) override
      CONTROL_COROUTINE_CODE;
  void co_update_record() override CONTROL_COROUTINE_CODE;
  absl::Status co_stop(Mode mode) override CONTROL_COROUTINE_CODE;

 private:
  NodeExport(Daemon& daemon, NodeExportOptions options)
      : daemon_(daemon),
        options_(std::move(options)),
        threads_(daemon.iothreads, "export '" + options_.id + "'") {}

  absl::Status co_open() CONTROL_COROUTINE_CODE;
  absl::Status co_claim_mount_point() CONTROL_COROUTINE_CODE;
  absl::Status co_attach() CONTROL_COROUTINE_CODE;
  absl::Status co_mount() CONTROL_COROUTINE_CODE;
  absl::StatusOr<std::unique_ptr<FuseExport>> co_start_fuse(bool allow_other)
      CONTROL_COROUTINE_CODE;
  void watch(std::function<void()> on_ended) GLOBAL_STATE_CODE;
  absl::Status co_release() CONTROL_COROUTINE_CODE;
  void co_end_record(const std::optional<absl::Status>& result) CONTROL_COROUTINE_CODE;
  void co_write_record() CONTROL_COROUTINE_CODE;
  MountState state() const GLOBAL_STATE_CODE;

  Daemon& daemon_;
  NodeExportOptions options_;  // the mount point as the mount table shows it
  std::optional<MountRecord> record_;
  const std::string started_ = utc_now();
  ExportThreads threads_;
  std::unique_ptr<Backend> backend_;
  std::string last_node_name_;  // once the backend has gone
  std::unique_ptr<ServedTree> tree_;
  std::unique_ptr<FuseExport> export_;
  CoEvent watcher_ended_;
  CoMutex moving_;         // held while its threads or its record change
  bool stopping_ = false;  // there is no way back
};

}  // namespace penstock
