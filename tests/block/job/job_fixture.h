// SPDX-License-Identifier: Apache-2.0
// Jobs on the fake clock: they work until they are told how to end.
//
// Ownership: the fixture owns the world and the registry; tests share the jobs.
// Threads: the test's thread plays all contexts; the first is the control thread's.
// Errors: a test fails if something is stuck.
// Invariants: at the end no job is left.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "block/job/job.h"
#include "block/job/job_group.h"
#include "block/job/job_registry.h"
#include "gtest/gtest.h"
#include "iothreads/control_thread.h"
#include "iothreads/fake_world.h"

namespace penstock {

class TestJob final : public Job {
 public:
  TestJob(FakeWorld& world, JobOptions options) : Job(std::move(options)), world_(world) {}

  // Set before it starts.
  unsigned workers = 1;
  uint64_t piece = 1;  // bytes that a worker moves in a millisecond, if it may
  uint64_t total = UINT64_MAX;
  std::function<absl::Status()> before_piece;  // its error is handled as `policy` says
  JobOnError policy = JobOnError::kReport;
  absl::Status prepare_result;
  bool completes = false;  // takes job-complete
  bool deaf = false;       // does not stop before `end`

  // How the work ends, once the workers see it.
  void end(absl::Status status = absl::OkStatus()) { end_ = std::move(status); }
  using Job::become_ready;

  uint64_t done = 0;    // bytes
  unsigned inside = 0;  // workers at work
  int prepared = 0;
  int committed = 0;
  int aborted = 0;
  int cleaned = 0;

  const char* type() const override { return "backup"; }
  JobProgress progress() const override GLOBAL_STATE_CODE { return {done, total}; }

 private:
  absl::Status co_run() override CONTROL_COROUTINE_CODE;
  absl::Status co_prepare() override CONTROL_COROUTINE_CODE;
  void co_commit() override CONTROL_COROUTINE_CODE { ++committed; }
  void co_abort() override CONTROL_COROUTINE_CODE { ++aborted; }
  void co_clean_up() override CONTROL_COROUTINE_CODE { ++cleaned; }
  absl::Status begin_completion() override GLOBAL_STATE_CODE;
  void co_work() COROUTINE_CODE;

  FakeWorld& world_;
  std::optional<absl::Status> end_;
  absl::Status failure_;
};

class JobFixture : public testing::Test {
 protected:
  JobFixture();
  ~JobFixture() override;

  // In a coroutine of the control thread, to its end.
  void on_control(const std::function<void()>& function);
  // Steps until `done`.
  void until(const std::function<bool()>& done);
  // Lets everything run for a while.
  void pass(Nanoseconds time);

  std::shared_ptr<TestJob> make(const std::string& id, bool auto_finalize = true,
                                bool auto_dismiss = true);
  // Listed, and in `group`; one of its own if there is none.
  void add(const std::shared_ptr<TestJob>& job, std::shared_ptr<JobGroup> group = nullptr);
  void start(const std::shared_ptr<TestJob>& job);
  void start(const std::shared_ptr<JobGroup>& group);
  absl::Status verb(const std::shared_ptr<TestJob>& job, JobVerb verb);
  JobStatus status(const Job& job);
  bool is_listed(const std::string& id);
  // "a:running" and so on, of the jobs called so.
  std::vector<std::string> events_of(const std::string& id) const;

  FakeWorld world_;
  ControlThreadScope scope_;
  std::vector<std::string> events_;
  JobRegistry registry_;
};

}  // namespace penstock
