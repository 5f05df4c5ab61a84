// SPDX-License-Identifier: Apache-2.0
// Jobs that all succeed, or are all aborted. A job by itself is a group of one.
//
// Ownership: the jobs share it, and it shares them until it has ended.
// Threads: the control thread.
// Errors: EPERM and EBUSY from commands that come too early or too late.
// Invariants: no job is committed before every job's work has ended well. The first failure
//   cancels the others; only when all have ended they are aborted.
#pragma once

#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "base/thread_roles.h"
#include "block/job/job.h"

namespace penstock {

class JobGroup : public std::enable_shared_from_this<JobGroup> {
 public:
  JobGroup() = default;
  JobGroup(const JobGroup&) = delete;
  JobGroup& operator=(const JobGroup&) = delete;

  // REQUIRES: nothing was started; the job is in the registry and in no group.
  void add(std::shared_ptr<Job> job) GLOBAL_STATE_CODE;
  // Those that were not started yet.
  void start() GLOBAL_STATE_CODE;

 private:
  friend class Job;
  friend class JobRegistry;

  void work_ended(Job& job) GLOBAL_STATE_CODE;
  absl::Status cancel(Job& job) GLOBAL_STATE_CODE;
  absl::Status finalize(const Job& job) GLOBAL_STATE_CODE;
  void remove(const Job& job) GLOBAL_STATE_CODE;

  void abort_others(const Job* but) GLOBAL_STATE_CODE;
  void advance() GLOBAL_STATE_CODE;
  void begin_end() GLOBAL_STATE_CODE;
  void co_end() CONTROL_COROUTINE_CODE;

  std::vector<std::shared_ptr<Job>> jobs_;
  bool aborting_ = false;
  bool ending_ = false;  // committing or aborting is under way
};

}  // namespace penstock
