// SPDX-License-Identifier: Apache-2.0
// A long piece of work that people watch, pause, slow down, cancel.
//
// Its kind derives from this and does the work in co_run(), alone or by workers (JobPace::Worker)
// on other contexts. Everything else is here and in JobGroup, to which every job belongs.
//
// Ownership: shared by the registry, its group and its own coroutine, until it is dismissed.
// Threads: the control thread; pace() and co_failed() also for workers.
// Errors: EPERM with the field's text for a command that the job's state does not take.
// Invariants: states change only as job_state.h says. A job is paused for as long as one cause is
//   left; resuming for one cause leaves the others. A job that was told to stop is never paused.
//   co_commit() or co_abort(), and then co_clean_up(), are called once each in every job that was
//   started or cancelled.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "base/thread_roles.h"
#include "block/job/job_error.h"
#include "block/job/job_event.h"
#include "block/job/job_pace.h"
#include "block/job/job_state.h"

namespace penstock {

class JobGroup;
class JobRegistry;

struct JobOptions {
  std::string id;
  bool auto_finalize = true;
  bool auto_dismiss = true;
  uint64_t speed = 0;  // bytes a second; 0: no limit
};

struct JobProgress {
  uint64_t current = 0;
  uint64_t total = 0;  // an estimate; may change
};

// Why a job is paused. Causes are counted one by one.
enum class JobPauseCause : uint8_t { kUser, kDrain, kError };
inline constexpr unsigned kJobPauseCauses = 3;

enum class JobIoStatus : uint8_t { kOk, kFailed, kNoSpace };

class Job : public std::enable_shared_from_this<Job> {
 public:
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;
  virtual ~Job();

  virtual const char* type() const = 0;  // "backup"
  // False for work that is not on a block device; it has none of the BLOCK_JOB_* events.
  virtual bool is_block_job() const { return true; }
  virtual JobProgress progress() const GLOBAL_STATE_CODE = 0;

  const std::string& id() const { return options_.id; }
  bool auto_finalize() const { return options_.auto_finalize; }
  bool auto_dismiss() const GLOBAL_STATE_CODE { return options_.auto_dismiss; }
  uint64_t speed() const { return pace_.speed(); }
  JobStatus status() const GLOBAL_STATE_CODE { return status_; }
  JobIoStatus io_status() const GLOBAL_STATE_CODE { return io_status_; }
  bool paused() const GLOBAL_STATE_CODE;
  bool paused_for(JobPauseCause cause) const GLOBAL_STATE_CODE;
  bool busy() const { return !pace_.idle(); }
  bool ready() const GLOBAL_STATE_CODE;
  bool cancelled() const GLOBAL_STATE_CODE { return cancelled_; }
  // Once the work has ended: how. ECANCELED for a cancelled one.
  const absl::Status& result() const GLOBAL_STATE_CODE { return result_; }

  // What people command.
  absl::Status pause() GLOBAL_STATE_CODE;
  // Also after an error; the failed piece is tried again.
  absl::Status resume() GLOBAL_STATE_CODE;
  absl::Status set_speed(uint64_t speed) GLOBAL_STATE_CODE;
  // Returns at once; the job's end comes later. Not forced, a ready job may end in a good state.
  absl::Status cancel(bool force) GLOBAL_STATE_CODE;
  absl::Status force_cancel() GLOBAL_STATE_CODE { return cancel(true); }
  absl::Status complete() GLOBAL_STATE_CODE;
  absl::Status finalize() GLOBAL_STATE_CODE;  // the whole group
  absl::Status dismiss() GLOBAL_STATE_CODE;

  // The nodes that it works on are being drained: no I/O until the end of it. Nests.
  void drain_begin() GLOBAL_STATE_CODE;
  void drain_end() GLOBAL_STATE_CODE;

 protected:
  explicit Job(JobOptions options);

  // The work. Ends soon after JobPace says stop; its answer does not matter then.
  virtual absl::Status co_run() CONTROL_COROUTINE_CODE = 0;
  // Every job of the group has done its work: what may still fail.
  virtual absl::Status co_prepare() CONTROL_COROUTINE_CODE;
  virtual void co_commit() CONTROL_COROUTINE_CODE {}
  virtual void co_abort() CONTROL_COROUTINE_CODE {}
  virtual void co_clean_up() CONTROL_COROUTINE_CODE {}
  // A ready job: end now, in a good state. EPERM if there is no such end.
  virtual absl::Status begin_completion() GLOBAL_STATE_CODE;
  // The same without what completion would switch over. False: there is no such end.
  virtual bool begin_soft_cancel() GLOBAL_STATE_CODE { return false; }

  JobPace& pace() { return pace_; }
  void become_ready() GLOBAL_STATE_CODE;
  // An I/O error, on any context: decides, tells, and pauses the job if that is the policy.
  JobErrorAction co_failed(JobOnError policy, bool is_read,
                           const absl::Status& error) COROUTINE_CODE;

 private:
  friend class JobGroup;
  friend class JobRegistry;

  // For the group.
  void start() GLOBAL_STATE_CODE;
  // Its group, or its client, wants its end.
  void begin_cancel() GLOBAL_STATE_CODE;
  // The work has ended, or never begins.
  void end_work(absl::Status status) GLOBAL_STATE_CODE;
  void fail(absl::Status status) GLOBAL_STATE_CODE;
  void conclude() GLOBAL_STATE_CODE;
  void discard() GLOBAL_STATE_CODE;

  void co_live() CONTROL_COROUTINE_CODE;
  absl::Status check_verb(JobVerb verb) const GLOBAL_STATE_CODE;
  void add_pause(JobPauseCause cause) GLOBAL_STATE_CODE;
  void drop_pauses(JobPauseCause cause, unsigned count) GLOBAL_STATE_CODE;
  void show_pause() GLOBAL_STATE_CODE;
  void become(JobStatus status) GLOBAL_STATE_CODE;
  void tell(const JobEvent& event) const GLOBAL_STATE_CODE;

  JobOptions options_;
  JobPace pace_;
  JobRegistry* registry_ = nullptr;
  std::shared_ptr<JobGroup> group_;
  JobStatus status_ = JobStatus::kCreated;
  unsigned pauses_[kJobPauseCauses] = {};
  JobIoStatus io_status_ = JobIoStatus::kOk;
  bool started_ = false;
  bool work_ended_ = false;
  bool cancelled_ = false;
  absl::Status result_;
};

}  // namespace penstock
