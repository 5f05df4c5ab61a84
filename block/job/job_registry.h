// SPDX-License-Identifier: Apache-2.0
// All jobs, by their ids.
//
// Ownership: shares the jobs until they are dismissed.
// Threads: the control thread.
// Errors: EEXIST; ESHUTDOWN once all are being ended.
// Invariants: a job is in the list from add() until it is dismissed; its events come from first to
//   last through the one listener.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "base/thread_roles.h"
#include "block/job/job.h"
#include "block/job/job_event.h"
#include "iothreads/co_event.h"

namespace penstock {

class JobRegistry {
 public:
  explicit JobRegistry(JobListener listener) : listener_(std::move(listener)) {}
  JobRegistry(const JobRegistry&) = delete;
  JobRegistry& operator=(const JobRegistry&) = delete;
  ~JobRegistry();  // REQUIRES: it is empty

  // Lists a job that was just made; it is "created" from now on.
  absl::Status add(std::shared_ptr<Job> job) GLOBAL_STATE_CODE;
  // Lists it and starts it, as a group of its own.
  absl::Status start(std::shared_ptr<Job> job) GLOBAL_STATE_CODE;
  // A job that was never started and is not to be: none of its functions is called.
  void discard(Job& job) GLOBAL_STATE_CODE;

  // nullptr if there is none.
  std::shared_ptr<Job> find(const std::string& id) const GLOBAL_STATE_CODE;
  std::vector<std::shared_ptr<Job>> list() const GLOBAL_STATE_CODE;

  // Cancels every job, dismisses the concluded ones, and refuses new ones.
  void end_all() GLOBAL_STATE_CODE;
  bool ending() const GLOBAL_STATE_CODE { return ending_all_; }
  // After that. False if `deadline` came first (AioContext::now()).
  bool co_wait_empty(Nanoseconds deadline) CONTROL_COROUTINE_CODE;

 private:
  friend class Job;
  void tell(const Job& job, const JobEvent& event) GLOBAL_STATE_CODE;
  void forget(const Job& job) GLOBAL_STATE_CODE;

  const JobListener listener_;
  std::map<std::string, std::shared_ptr<Job>> jobs_;
  bool ending_all_ = false;
  CoEvent empty_;  // meaningful once all are being ended
};

}  // namespace penstock
