// SPDX-License-Identifier: Apache-2.0
#include "block/job/job.h"

#include <cerrno>
#include <cstdlib>
#include <utility>

#include "base/status.h"
#include "block/job/job_group.h"
#include "block/job/job_registry.h"
#include "iothreads/control_thread.h"
#include "iothreads/coroutine.h"

namespace penstock {
namespace {

absl::Status cancelled_status() { return errno_message(ECANCELED, "Operation canceled"); }

}  // namespace

Job::Job(JobOptions options) : options_(std::move(options)) { pace_.set_speed(options_.speed); }

Job::~Job() = default;

absl::Status Job::co_prepare() { return absl::OkStatus(); }

absl::Status Job::begin_completion() {
  return errno_message(EPERM, "The active block job '" + id() + "' cannot be completed");
}

bool Job::paused() const {
  for (const unsigned count : pauses_) {
    if (count != 0) return true;
  }
  return false;
}

bool Job::paused_for(JobPauseCause cause) const {
  return pauses_[static_cast<unsigned>(cause)] != 0;
}

bool Job::ready() const { return status_ == JobStatus::kReady || status_ == JobStatus::kStandby; }

absl::Status Job::pause() {
  if (absl::Status status = check_verb(JobVerb::kPause); !status.ok()) return status;
  if (paused_for(JobPauseCause::kUser) || paused_for(JobPauseCause::kError)) {
    return errno_message(EPERM, "Job is already paused");
  }
  add_pause(JobPauseCause::kUser);
  return absl::OkStatus();
}

absl::Status Job::resume() {
  if (!paused_for(JobPauseCause::kUser) && !paused_for(JobPauseCause::kError)) {
    return errno_message(EPERM, "Can't resume a job that was not paused");
  }
  if (absl::Status status = check_verb(JobVerb::kResume); !status.ok()) return status;
  io_status_ = JobIoStatus::kOk;
  drop_pauses(JobPauseCause::kUser, pauses_[static_cast<unsigned>(JobPauseCause::kUser)]);
  drop_pauses(JobPauseCause::kError, pauses_[static_cast<unsigned>(JobPauseCause::kError)]);
  return absl::OkStatus();
}

absl::Status Job::set_speed(uint64_t speed) {
  if (absl::Status status = check_verb(JobVerb::kSetSpeed); !status.ok()) return status;
  pace_.set_speed(speed);
  return absl::OkStatus();
}

absl::Status Job::cancel(bool force) {
  if (absl::Status status = check_verb(JobVerb::kCancel); !status.ok()) return status;
  const bool user_paused = paused_for(JobPauseCause::kUser) || paused_for(JobPauseCause::kError);
  if (user_paused && !force) {
    return errno_message(EPERM, "The block job for device '" + id() + "' is currently paused");
  }
  if (!force && ready() && begin_soft_cancel()) return absl::OkStatus();
  if (group_ == nullptr) {
    return errno_message(EBUSY, "Job '" + id() + "' is still being set up: try again then.");
  }
  return group_->cancel(*this);
}

absl::Status Job::complete() {
  if (absl::Status status = check_verb(JobVerb::kComplete); !status.ok()) return status;
  if (paused() || cancelled_) {
    return errno_message(EPERM, "The active block job '" + id() + "' cannot be completed");
  }
  return begin_completion();
}

absl::Status Job::finalize() {
  if (absl::Status status = check_verb(JobVerb::kFinalize); !status.ok()) return status;
  return group_->finalize(*this);
}

absl::Status Job::dismiss() {
  if (absl::Status status = check_verb(JobVerb::kDismiss); !status.ok()) return status;
  discard();
  return absl::OkStatus();
}

void Job::drain_begin() { add_pause(JobPauseCause::kDrain); }

void Job::drain_end() {
  // The drain may be older than the job.
  if (paused_for(JobPauseCause::kDrain)) drop_pauses(JobPauseCause::kDrain, 1);
}

void Job::become_ready() {
  if (status_ == JobStatus::kPaused) become(JobStatus::kRunning);
  become(JobStatus::kReady);
  tell({JobEvent::Kind::kReady});
  show_pause();
}

JobErrorAction Job::co_failed(JobOnError policy, bool is_read, const absl::Status& error) {
  CoControlHop hop;
  assert_control_thread();
  const int number = status_errno(error);
  const JobErrorAction action = action_on(policy, number);
  // Several workers may fail before the first one's error has stopped the job.
  if (action == JobErrorAction::kStop && paused_for(JobPauseCause::kError)) return action;
  tell({JobEvent::Kind::kError, is_read, action});
  if (action != JobErrorAction::kStop) return action;
  io_status_ = number == ENOSPC ? JobIoStatus::kNoSpace : JobIoStatus::kFailed;
  if (!cancelled_) add_pause(JobPauseCause::kError);
  return action;
}

void Job::start() {
  started_ = true;
  // Whoever was the last worker may be gone together with the job when this is looked at.
  pace_.set_on_idle([weak = weak_from_this()] {
    control_context().spawn("a job is idle", [weak] {
      assert_control_thread();
      if (const std::shared_ptr<Job> job = weak.lock()) job->show_pause();
    });
  });
  become(JobStatus::kRunning);
  show_pause();
  control_context().spawn("job", [self = shared_from_this()] {
    assert_in_coroutine();
    assert_control_thread();
    self->co_live();
  });
}

void Job::co_live() {
  bool goes_on = false;
  {
    // One that was paused before it was started begins with that.
    JobPace::Worker first(pace_);
    goes_on = first.co_pass(0);
  }
  end_work(goes_on ? co_run() : absl::OkStatus());
}

void Job::begin_cancel() {
  cancelled_ = true;
  for (const JobPauseCause cause : {JobPauseCause::kUser, JobPauseCause::kError}) {
    pauses_[static_cast<unsigned>(cause)] = 0;
  }
  pace_.stop();
  show_pause();
  if (!started_) end_work(absl::OkStatus());
}

void Job::end_work(absl::Status status) {
  work_ended_ = true;
  show_pause();
  if (cancelled_) status = cancelled_status();
  if (status.ok()) {
    become(JobStatus::kWaiting);
  } else {
    fail(std::move(status));
  }
  group_->work_ended(*this);
}

void Job::fail(absl::Status status) {
  if (!result_.ok()) return;
  result_ = std::move(status);
  become(JobStatus::kAborting);
}

void Job::conclude() {
  if (started_ && is_block_job()) {
    tell({cancelled_ ? JobEvent::Kind::kCancelled : JobEvent::Kind::kCompleted});
  }
  become(JobStatus::kConcluded);
  if (options_.auto_dismiss || !started_) discard();
}

void Job::discard() {
  become(JobStatus::kNull);
  group_ = nullptr;
  registry_->forget(*this);
}

absl::Status Job::check_verb(JobVerb verb) const {
  if (job_takes(status_, verb)) return absl::OkStatus();
  return errno_message(EPERM, "Job '" + id() + "' in state '" + job_status_name(status_) +
                                  "' cannot accept command verb '" + job_verb_name(verb) + "'");
}

void Job::add_pause(JobPauseCause cause) {
  ++pauses_[static_cast<unsigned>(cause)];
  pace_.hold();
  show_pause();
}

void Job::drop_pauses(JobPauseCause cause, unsigned count) {
  pauses_[static_cast<unsigned>(cause)] -= count;
  if (paused()) return;
  show_pause();
  pace_.release();
}

// The state says "paused" only once no worker works any more.
void Job::show_pause() {
  const bool shows = paused() && pace_.idle() && !cancelled_ && !work_ended_;
  if (shows && status_ == JobStatus::kRunning) become(JobStatus::kPaused);
  if (shows && status_ == JobStatus::kReady) become(JobStatus::kStandby);
  if (!shows && status_ == JobStatus::kPaused) become(JobStatus::kRunning);
  if (!shows && status_ == JobStatus::kStandby) become(JobStatus::kReady);
}

void Job::become(JobStatus status) {
  if (!job_may_become(status_, status)) std::abort();
  status_ = status;
  tell({JobEvent::Kind::kStatus});
}

void Job::tell(const JobEvent& event) const {
  if (registry_ != nullptr) registry_->tell(*this, event);
}

}  // namespace penstock
