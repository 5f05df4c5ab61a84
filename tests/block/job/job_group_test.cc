// SPDX-License-Identifier: Apache-2.0
#include <cerrno>

#include "base/status.h"
#include "tests/block/job/job_fixture.h"

namespace penstock {
namespace {

class JobGroupTest : public JobFixture {
 protected:
  void start_both(bool auto_finalize) {
    a_ = make("a", auto_finalize);
    b_ = make("b");
    auto group = std::make_shared<JobGroup>();
    add(a_, group);
    add(b_, group);
    start(group);
    until([&] { return a_->done > 0 && b_->done > 0; });
  }

  std::shared_ptr<TestJob> a_;
  std::shared_ptr<TestJob> b_;
};

TEST_F(JobGroupTest, NoneTakesEffectBeforeAllHaveDoneTheirWork) {
  start_both(true);
  a_->end();
  until([&] { return events_.back() == "a:waiting"; });
  pass(std::chrono::seconds(1));
  EXPECT_EQ(a_->prepared + a_->committed, 0);
  b_->end();
  until([&] { return a_->cleaned + b_->cleaned == 2; });
  EXPECT_EQ(a_->committed, 1);
  EXPECT_EQ(b_->committed, 1);
}

TEST_F(JobGroupTest, ByOneFinalizeAllTakeEffect) {
  start_both(false);
  a_->end();
  b_->end();
  until([&] { return status(*a_) == JobStatus::kPending; });
  EXPECT_EQ(a_->committed + b_->committed, 0);
  ASSERT_TRUE(verb(b_, JobVerb::kFinalize).ok());
  until([&] { return a_->committed + b_->committed == 2; });
}

TEST_F(JobGroupTest, OneThatFailsCancelsTheOthers) {
  start_both(true);
  ASSERT_TRUE(verb(b_, JobVerb::kPause).ok());
  a_->end(errno_status(EIO, "on purpose"));
  until([&] { return a_->cleaned + b_->cleaned == 2; });
  EXPECT_EQ(a_->aborted + b_->aborted, 2);
  pass(std::chrono::milliseconds(10));
  on_control([&] {
    assert_control_thread();
    EXPECT_EQ(status_errno(a_->result()), EIO);
    EXPECT_EQ(status_errno(b_->result()), ECANCELED);
  });
  const std::vector<std::string> events = events_of("b");
  EXPECT_EQ(events[events.size() - 3], "CANCELLED");
  EXPECT_EQ(events_of("a")[events_of("a").size() - 3], "COMPLETED");
}

TEST_F(JobGroupTest, OneThatIsCancelledAbortsThoseThatWait) {
  start_both(true);
  a_->end();
  until([&] { return events_.back() == "a:waiting"; });
  ASSERT_TRUE(verb(b_, JobVerb::kCancel).ok());
  until([&] { return a_->cleaned + b_->cleaned == 2; });
  EXPECT_EQ(a_->aborted + b_->aborted, 2);
}

TEST_F(JobGroupTest, WhatFailsAtTheLastMomentAbortsAll) {
  start_both(true);
  b_->prepare_result = errno_status(EIO, "on purpose");
  a_->end();
  b_->end();
  until([&] { return a_->cleaned + b_->cleaned == 2; });
  EXPECT_EQ(a_->aborted + b_->aborted, 2);
  EXPECT_EQ(a_->committed + b_->committed, 0);
}

TEST_F(JobGroupTest, OneThatWasCancelledBeforeTheStartIsNotStarted) {
  a_ = make("a");
  b_ = make("b");
  auto group = std::make_shared<JobGroup>();
  add(a_, group);
  add(b_, group);
  ASSERT_TRUE(verb(a_, JobVerb::kCancel).ok());
  start(group);
  until([&] { return a_->cleaned + b_->cleaned == 2; });
  EXPECT_EQ(a_->done + b_->done, 0u);
}

}  // namespace
}  // namespace penstock
