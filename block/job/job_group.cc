// SPDX-License-Identifier: Apache-2.0
#include "block/job/job_group.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/status.h"
#include "block/job/job_registry.h"
#include "iothreads/control_thread.h"
#include "iothreads/coroutine.h"

namespace penstock {
namespace {

absl::Status is_ending(const Job& job) {
  return errno_message(EBUSY, "Job '" + job.id() + "' is being finalized: wait for its end.");
}

}  // namespace

void JobGroup::add(std::shared_ptr<Job> job) {
  job->group_ = shared_from_this();
  jobs_.push_back(std::move(job));
}

void JobGroup::start() {
  // One that was cancelled before this has ended already.
  const std::vector<std::shared_ptr<Job>> jobs = jobs_;
  for (const std::shared_ptr<Job>& job : jobs) {
    if (!job->started_ && !job->work_ended_) job->start();
  }
  for (const std::shared_ptr<Job>& job : jobs) {
    if (job->registry_->ending() && !job->work_ended_) (void)cancel(*job);
  }
}

void JobGroup::work_ended(Job& job) {
  if (!job.result_.ok()) abort_others(&job);
  advance();
}

absl::Status JobGroup::cancel(Job& job) {
  if (ending_) return is_ending(job);
  if (!job.work_ended_) {
    job.begin_cancel();
    return absl::OkStatus();
  }
  job.cancelled_ = true;
  job.fail(errno_message(ECANCELED, "Operation canceled"));
  abort_others(&job);
  advance();
  return absl::OkStatus();
}

absl::Status JobGroup::finalize(const Job& job) {
  if (ending_) return is_ending(job);
  begin_end();
  return absl::OkStatus();
}

void JobGroup::remove(const Job& job) {
  std::erase_if(jobs_, [&](const auto& each) { return each.get() == &job; });
}

void JobGroup::abort_others(const Job* but) {
  if (std::exchange(aborting_, true)) return;
  // A job that ends at once asks the group for its end.
  const std::vector<std::shared_ptr<Job>> jobs = jobs_;
  for (const std::shared_ptr<Job>& job : jobs) {
    if (job.get() == but) continue;
    if (!job->work_ended_) {
      job->begin_cancel();
    } else if (job->result_.ok()) {
      job->cancelled_ = true;
      job->fail(errno_message(ECANCELED, "Operation canceled"));
    }
  }
}

void JobGroup::advance() {
  if (ending_) return;
  for (const std::shared_ptr<Job>& job : jobs_) {
    if (!job->work_ended_) return;
  }
  if (aborting_) {
    begin_end();
    return;
  }
  bool all_by_themselves = true;
  for (const std::shared_ptr<Job>& job : jobs_) {
    job->become(JobStatus::kPending);
    if (job->auto_finalize()) continue;
    all_by_themselves = false;
    job->tell({JobEvent::Kind::kPending});
  }
  if (all_by_themselves) begin_end();
}

void JobGroup::begin_end() {
  if (std::exchange(ending_, true)) return;
  control_context().spawn("end of jobs", [self = shared_from_this()] {
    assert_in_coroutine();
    assert_control_thread();
    self->co_end();
  });
}

void JobGroup::co_end() {
  for (size_t i = 0; i < jobs_.size() && !aborting_; ++i) {
    absl::Status prepared = jobs_[i]->co_prepare();
    if (prepared.ok()) continue;
    jobs_[i]->fail(std::move(prepared));
    abort_others(jobs_[i].get());
  }
  for (const std::shared_ptr<Job>& job : jobs_) {
    if (aborting_) {
      job->co_abort();
    } else {
      job->co_commit();
    }
    job->co_clean_up();
    job->conclude();
  }
  jobs_.clear();
}

}  // namespace penstock
