// SPDX-License-Identifier: Apache-2.0
#include <cerrno>

#include "base/status.h"
#include "tests/block/job/job_fixture.h"

namespace penstock {
namespace {

class JobPauseTest : public JobFixture {
 protected:
  void drain(const std::shared_ptr<TestJob>& job, bool begin) {
    on_control([&] {
      assert_control_thread();
      if (begin) {
        job->drain_begin();
      } else {
        job->drain_end();
      }
    });
  }
  // Nothing is done while it is paused.
  void expect_still(const std::shared_ptr<TestJob>& job) {
    pass(std::chrono::milliseconds(100));
    EXPECT_EQ(status(*job), JobStatus::kPaused);
    EXPECT_EQ(job->inside, 0u);
    const uint64_t done = job->done;
    pass(std::chrono::seconds(1));
    EXPECT_EQ(job->done, done);
  }
  void expect_goes_on(const std::shared_ptr<TestJob>& job) {
    const uint64_t done = job->done;
    pass(std::chrono::seconds(1));
    EXPECT_EQ(status(*job), JobStatus::kRunning);
    EXPECT_GT(job->done, done);
  }
};

TEST_F(JobPauseTest, EachCauseOfAPauseEndsByItself) {
  const auto job = make("a");
  job->workers = 7;
  start(job);
  expect_goes_on(job);
  ASSERT_TRUE(verb(job, JobVerb::kPause).ok());
  expect_still(job);
  drain(job, true);
  drain(job, true);
  ASSERT_TRUE(verb(job, JobVerb::kResume).ok());
  expect_still(job);
  drain(job, false);
  expect_still(job);
  ASSERT_TRUE(verb(job, JobVerb::kPause).ok());
  drain(job, false);
  expect_still(job);
  ASSERT_TRUE(verb(job, JobVerb::kResume).ok());
  expect_goes_on(job);
}

TEST_F(JobPauseTest, TheEndOfADrainThatIsOlderThanTheJobDoesNothing) {
  const auto job = make("a");
  start(job);
  drain(job, false);
  drain(job, true);
  expect_still(job);
  drain(job, false);
  expect_goes_on(job);
}

TEST_F(JobPauseTest, OnlyWhenTheLastWorkerWaitsTheStateIsPaused) {
  const auto job = make("a");
  job->workers = 3;
  start(job);
  until([&] { return job->inside == 3; });
  on_control([&] {
    assert_control_thread();
    if (job->inside == 0) return;
    EXPECT_TRUE(job->pause().ok());
    EXPECT_TRUE(job->paused());
    EXPECT_EQ(job->status(), JobStatus::kRunning);
  });
  expect_still(job);
}

TEST_F(JobPauseTest, AJobThatWasPausedBeforeItsStartWaitsForTheResume) {
  const auto job = make("a");
  auto group = std::make_shared<JobGroup>();
  add(job, group);
  ASSERT_TRUE(verb(job, JobVerb::kPause).ok());
  start(group);
  expect_still(job);
  EXPECT_EQ(job->done, 0u);
  ASSERT_TRUE(verb(job, JobVerb::kResume).ok());
  expect_goes_on(job);
}

TEST_F(JobPauseTest, AnErrorStopsTheJobAndAResumeTriesAgain) {
  const auto job = make("a");
  bool full = true;
  job->policy = JobOnError::kEnospc;
  job->workers = 3;
  job->before_piece = [&] { return full ? errno_status(ENOSPC, "no") : absl::OkStatus(); };
  start(job);
  expect_still(job);
  on_control([&] {
    assert_control_thread();
    EXPECT_EQ(job->io_status(), JobIoStatus::kNoSpace);
    EXPECT_TRUE(job->paused_for(JobPauseCause::kError));
    EXPECT_EQ(status_text(job->pause()), "Job is already paused");
  });
  // One of them told it, the others came while it was being stopped.
  EXPECT_EQ(events_of("a"), (std::vector<std::string>{"created", "running", "ERROR", "paused"}));
  // Still full: it stops again.
  ASSERT_TRUE(verb(job, JobVerb::kResume).ok());
  expect_still(job);
  full = false;
  drain(job, true);
  ASSERT_TRUE(verb(job, JobVerb::kResume).ok());
  expect_still(job);
  drain(job, false);
  expect_goes_on(job);
  on_control([&] {
    assert_control_thread();
    EXPECT_EQ(job->io_status(), JobIoStatus::kOk);
  });
}

TEST_F(JobPauseTest, AnErrorThatIsIgnoredIsTriedAgainAndOneThatIsReportedEndsTheJob) {
  const auto ignoring = make("ignoring");
  int left = 5;
  ignoring->policy = JobOnError::kIgnore;
  ignoring->total = 10;
  ignoring->before_piece = [&] { return left-- > 0 ? errno_status(EIO, "bad") : absl::OkStatus(); };
  start(ignoring);
  until([&] { return events_.back() == "ignoring:null"; });
  EXPECT_EQ(ignoring->committed, 1);

  const auto reporting = make("reporting");
  reporting->workers = 4;
  reporting->before_piece = [] { return errno_status(EIO, "bad"); };
  start(reporting);
  until([&] { return events_.back() == "reporting:null"; });
  EXPECT_EQ(reporting->aborted, 1);
  on_control([&] {
    assert_control_thread();
    EXPECT_EQ(status_errno(reporting->result()), EIO);
    EXPECT_FALSE(reporting->cancelled());
  });
}

TEST_F(JobPauseTest, ACancelledJobEndsEvenWhileItIsDrained) {
  const auto job = make("a");
  start(job);
  drain(job, true);
  expect_still(job);
  ASSERT_TRUE(verb(job, JobVerb::kCancel).ok());
  until([&] { return events_.back() == "a:null"; });
  drain(job, false);
}

}  // namespace
}  // namespace penstock
