// SPDX-License-Identifier: Apache-2.0
#include "block/job/job_registry.h"

#include <cerrno>
#include <cstdlib>
#include <utility>

#include "base/status.h"
#include "block/job/job_group.h"

namespace penstock {

JobRegistry::~JobRegistry() {
  if (!jobs_.empty()) std::abort();
}

absl::Status JobRegistry::add(std::shared_ptr<Job> job) {
  if (ending_all_) {
    return errno_message(ESHUTDOWN,
                         "Job '" + job->id() + "' was not started: the daemon is ending.");
  }
  if (jobs_.count(job->id()) != 0) {
    return errno_message(EEXIST, "Job ID '" + job->id() + "' already in use");
  }
  job->registry_ = this;
  Job& added = *job;
  jobs_[added.id()] = std::move(job);
  tell(added, {JobEvent::Kind::kStatus});
  return absl::OkStatus();
}

absl::Status JobRegistry::start(std::shared_ptr<Job> job) {
  if (absl::Status status = add(job); !status.ok()) return status;
  auto group = std::make_shared<JobGroup>();
  group->add(std::move(job));
  group->start();
  return absl::OkStatus();
}

void JobRegistry::discard(Job& job) {
  const std::shared_ptr<Job> keep = job.shared_from_this();
  if (job.group_ != nullptr) job.group_->remove(job);
  job.discard();
}

std::shared_ptr<Job> JobRegistry::find(const std::string& id) const {
  const auto found = jobs_.find(id);
  return found == jobs_.end() ? nullptr : found->second;
}

std::vector<std::shared_ptr<Job>> JobRegistry::list() const {
  std::vector<std::shared_ptr<Job>> result;
  for (const auto& [id, job] : jobs_) result.push_back(job);
  return result;
}

void JobRegistry::end_all() {
  ending_all_ = true;
  for (const std::shared_ptr<Job>& job : list()) {
    job->options_.auto_dismiss = true;
    if (job->status() == JobStatus::kConcluded) {
      job->discard();
    } else if (job->group_ != nullptr && job_takes(job->status(), JobVerb::kCancel)) {
      // One that is being finalized refuses; it ends by itself.
      (void)job->group_->cancel(*job);
    }
  }
  if (jobs_.empty()) empty_.set();
}

bool JobRegistry::co_wait_empty(Nanoseconds deadline) { return empty_.co_wait_until(deadline); }

void JobRegistry::tell(const Job& job, const JobEvent& event) { listener_(job, event); }

void JobRegistry::forget(const Job& job) {
  jobs_.erase(job.id());
  if (ending_all_ && jobs_.empty()) empty_.set();
}

}  // namespace penstock
