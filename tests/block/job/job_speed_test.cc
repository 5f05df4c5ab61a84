// SPDX-License-Identifier: Apache-2.0
// The speed of jobs, on the fake clock.
#include "tests/block/job/job_fixture.h"

namespace penstock {
namespace {

constexpr uint64_t kMiB = 1 << 20;

double seconds(Nanoseconds time) { return std::chrono::duration<double>(time).count(); }

class JobSpeedTest : public JobFixture {
 protected:
  void set_speed(const std::shared_ptr<TestJob>& job, uint64_t speed) {
    on_control([&] {
      assert_control_thread();
      EXPECT_TRUE(job->set_speed(speed).ok());
    });
  }
};

TEST_F(JobSpeedTest, ManyWorkersTogetherKeepIt) {
  const auto job = make("a");
  job->workers = 6;
  job->piece = kMiB / 16;
  job->total = 10 * kMiB;
  set_speed(job, kMiB);
  const Nanoseconds start_time = world_.now();
  start(job);
  until([&] { return job->cleaned == 1; });
  const double took = seconds(world_.now() - start_time);
  EXPECT_GT(took, 9.3);
  EXPECT_LT(took, 10.3);
}

TEST_F(JobSpeedTest, ANewOneHoldsAtOnceEvenForThoseWhoWait) {
  const auto job = make("a");
  job->workers = 4;
  job->piece = kMiB;
  job->total = 100 * kMiB;
  set_speed(job, 1);
  start(job);
  pass(std::chrono::seconds(1000));
  EXPECT_LE(job->done, 2 * kMiB);
  EXPECT_EQ(job->inside, 0u);
  const Nanoseconds changed = world_.now();
  set_speed(job, 0);
  until([&] { return job->cleaned == 1; });
  EXPECT_LT(seconds(world_.now() - changed), 1.0);
}

TEST_F(JobSpeedTest, OneThatWaitsForItsSpeedIsPausedAndCancelledAtOnce) {
  const auto job = make("a");
  job->piece = kMiB;
  set_speed(job, 1);
  start(job);
  pass(std::chrono::seconds(1));
  ASSERT_TRUE(verb(job, JobVerb::kPause).ok());
  EXPECT_EQ(status(*job), JobStatus::kPaused);
  ASSERT_TRUE(verb(job, JobVerb::kResume).ok());
  const Nanoseconds cancelled = world_.now();
  ASSERT_TRUE(verb(job, JobVerb::kCancel).ok());
  until([&] { return job->cleaned == 1; });
  EXPECT_LT(seconds(world_.now() - cancelled), 1.0);
}

}  // namespace
}  // namespace penstock
