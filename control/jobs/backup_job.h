// SPDX-License-Identifier: Apache-2.0
// A backup: what a node held at one moment, copied to another node while the first is in use.
//
// A copy-before-write filter comes above the node and below all who use it; that is the moment.
// Workers on several threads copy what the filter has not copied yet. At the end it goes again.
//
// Ownership: owns its backends, and its uses of IoThreads; refers to the daemon. The graph owns the
//   filter.
// Threads: the control thread; workers on the daemon's default IoThreads.
// Errors: of making one: those of the nodes, permissions and the filter, with nothing left behind.
//   Later: the job's result.
// Invariants: from the insertion to the job's end its backend is a user of the filter. Whatever the
//   end, the filter is taken out and those above it go on.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/byte_range.h"
#include "block/backend/backend.h"
#include "block/graph/change.h"
#include "block/job/job.h"
#include "control/iothread_registry.h"
#include "control/jobs/backup_options.h"
#include "drivers/copy_before_write/copy_before_write_driver.h"
#include "iothreads/co_event.h"
#include "iothreads/thread_mutex.h"

namespace penstock {

class Daemon;

class BackupJob final : public Job {
 public:
  // Listed, but not started, and its filter is opened, but not above the node's users.
  static absl::StatusOr<std::shared_ptr<BackupJob>> co_create(Daemon& daemon, BackupOptions options)
      CONTROL_COROUTINE_CODE;
  ~BackupJob() override;

  const std::string& filter() const { return filter_; }
  // The change that brings the filter above the node's users but those of `apart`. After it the job
  // joins a group and is started.
  std::unique_ptr<GraphChange> insertion(const std::vector<std::string>& apart = {}) const;
  // Instead of the insertion: takes everything back.
  void co_discard() CONTROL_COROUTINE_CODE;

  const char* type() const override { return "backup"; }
  JobProgress progress() const override GLOBAL_STATE_CODE;

 private:
  // What came of one piece of work.
  struct Step {
    absl::Status status;
    ByteRange range;        // to be tried again
    uint64_t moved = 0;     // bytes
    bool at_end = false;    // nothing was left
    bool for_ever = false;  // a failure that no second try mends
    bool is_read = false;
  };

  BackupJob(Daemon& daemon, BackupOptions options);

  absl::Status co_run() override CONTROL_COROUTINE_CODE;
  void co_abort() override CONTROL_COROUTINE_CODE;
  void co_clean_up() override CONTROL_COROUTINE_CODE;

  absl::Status co_open() CONTROL_COROUTINE_CODE;
  absl::Status co_open_filter() CONTROL_COROUTINE_CODE;
  absl::Status co_attach(std::unique_ptr<Backend>& backend, const std::string& node,
                         Permissions permissions) CONTROL_COROUTINE_CODE;
  void co_detach_all() CONTROL_COROUTINE_CODE;
  void co_remove_filter() CONTROL_COROUTINE_CODE;
  // nullptr once it is not there any more.
  CopyBeforeWriteDriver* open_filter() const GLOBAL_STATE_CODE;

  // backup_work.cc
  absl::Status co_copy_all() CONTROL_COROUTINE_CODE;
  absl::Status co_keep_until_cancelled() CONTROL_COROUTINE_CODE;
  absl::Status co_flush_target() CONTROL_COROUTINE_CODE;
  void co_work() COROUTINE_CODE;
  Step co_copy_step(std::optional<ByteRange> again, uint64_t longest) COROUTINE_CODE;
  Step co_flush_step() COROUTINE_CODE;
  Step failed_step(const absl::Status& status, const CopyBeforeWriteDriver* filter,
                   ByteRange range) const;
  // True: the step is to be done again, if the job may go on.
  bool co_again(JobPace::Worker& worker, const Step& step) COROUTINE_CODE;
  std::optional<ByteRange> take_next(const CopyBeforeWriteDriver& filter, uint64_t longest);
  uint64_t piece() const;
  void fail_work(const absl::Status& status);
  // The driver at work above the node, from within a request; nullptr once it was taken out.
  CopyBeforeWriteDriver* filter_of(const Child& root) const;

  Daemon& daemon_;
  const BackupOptions options_;
  std::string filter_;                               // the node's name; empty: none was opened
  const CopyBeforeWriteDriver* identity_ = nullptr;  // to be compared only
  uint64_t granularity_ = 0;                         // bytes
  std::vector<IoThreadRegistry::Use> uses_;
  std::unique_ptr<Backend> backend_;  // above the filter, for the work
  // Without permissions: users of the nodes, so that whoever wants these closed is told of the job.
  std::unique_ptr<Backend> on_source_;
  std::unique_ptr<Backend> on_target_;
  mutable JobProgress last_progress_;

  // Of the workers.
  std::atomic<unsigned> working_{0};
  CoEvent all_ended_;
  ThreadMutex mutex_{"BackupJob"};
  uint64_t cursor_ GUARDED_BY(mutex_) = 0;  // bytes
  absl::Status failure_ GUARDED_BY(mutex_);
};

// Makes one, brings its filter in, and starts it.
absl::Status co_start_backup(Daemon& daemon, BackupOptions options) CONTROL_COROUTINE_CODE;

}  // namespace penstock
