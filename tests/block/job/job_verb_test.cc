// SPDX-License-Identifier: Apache-2.0
// Every command in every state, and the end of a job that is cancelled in each of them.
#include <cctype>
#include <cerrno>
#include <string>
#include <tuple>

#include "base/status.h"
#include "tests/block/job/job_fixture.h"

namespace penstock {
namespace {

// One that can be had; "null" is gone.
constexpr unsigned kReachable = 9;

struct Case {
  JobVerb verb;
  const char* states;  // those that take it, as in job_state_test.cc
};
constexpr char kOrder[] = "CRPYSWDXE";
constexpr Case kTakers[kJobVerbs] = {
    {JobVerb::kCancel, "CRPYSWD"}, {JobVerb::kPause, "CRPYS"}, {JobVerb::kResume, "CRPYS"},
    {JobVerb::kSetSpeed, "CRPYS"}, {JobVerb::kComplete, "Y"},  {JobVerb::kFinalize, "D"},
    {JobVerb::kDismiss, "E"},
};

class JobVerbTest : public JobFixture {
 protected:
  // Brings "job" into a state; "other" is the one that it waits for, if that is the state.
  void bring(JobStatus wanted) {
    job_ = make("job", wanted != JobStatus::kPending, wanted != JobStatus::kConcluded);
    job_->completes = true;
    auto group = std::make_shared<JobGroup>();
    add(job_, group);
    if (wanted == JobStatus::kCreated) return;
    if (wanted == JobStatus::kWaiting || wanted == JobStatus::kAborting) {
      other_ = make("other");
      other_->deaf = wanted == JobStatus::kAborting;
      add(other_, group);
    }
    start(group);
    until([&] { return job_->done > 0; });
    const bool ready = wanted == JobStatus::kReady || wanted == JobStatus::kStandby;
    if (ready) {
      on_control([&] {
        assert_control_thread();
        job_->become_ready();
      });
    }
    if (wanted == JobStatus::kPaused || wanted == JobStatus::kStandby) {
      ASSERT_TRUE(verb(job_, JobVerb::kPause).ok());
    }
    if (wanted == JobStatus::kAborting) job_->end(errno_status(EIO, "on purpose"));
    if (wanted == JobStatus::kWaiting || wanted == JobStatus::kPending ||
        wanted == JobStatus::kConcluded) {
      job_->end();
    }
    until([&] {
      return events_.back() == std::string("job:") + job_status_name(wanted) || status_is(wanted);
    });
  }
  bool status_is(JobStatus wanted) {
    // The fake plays all threads from this one.
    const std::vector<std::string> events = events_of("job");
    for (auto event = events.rbegin(); event != events.rend(); ++event) {
      if (std::isupper((*event)[0]) != 0) continue;
      return *event == job_status_name(wanted);
    }
    return false;
  }

  std::shared_ptr<TestJob> job_;
  std::shared_ptr<TestJob> other_;
};

class JobVerbInStateTest : public JobVerbTest,
                           public testing::WithParamInterface<std::tuple<unsigned, unsigned>> {};

TEST_P(JobVerbInStateTest, IsTakenOrRefusedAsInTheFieldsTable) {
  const auto [verb_index, state] = GetParam();
  const Case& each = kTakers[verb_index];
  const auto wanted = static_cast<JobStatus>(state);
  bring(wanted);
  ASSERT_EQ(status(*job_), wanted);
  const bool takes = std::string(each.states).find(kOrder[state]) != std::string::npos;
  EXPECT_EQ(job_takes(wanted, each.verb), takes);
  const absl::Status answer = verb(job_, each.verb);
  const std::string refusal = std::string("Job 'job' in state '") + job_status_name(wanted) +
                              "' cannot accept command verb '" + job_verb_name(each.verb) + "'";
  const bool not_paused = each.verb == JobVerb::kResume && wanted != JobStatus::kPaused &&
                          wanted != JobStatus::kStandby;
  if (not_paused) {
    EXPECT_EQ(status_text(answer), "Can't resume a job that was not paused");
  } else if (each.verb == JobVerb::kPause &&
             (wanted == JobStatus::kPaused || wanted == JobStatus::kStandby)) {
    EXPECT_EQ(status_text(answer), "Job is already paused");
  } else if (takes) {
    EXPECT_TRUE(answer.ok()) << status_text(answer);
  } else {
    EXPECT_EQ(status_text(answer), refusal);
    EXPECT_EQ(status_errno(answer), EPERM);
    EXPECT_EQ(status(*job_), wanted);
  }
  if (other_ != nullptr) other_->end();
}

INSTANTIATE_TEST_SUITE_P(All, JobVerbInStateTest,
                         testing::Combine(testing::Range(0u, kJobVerbs),
                                          testing::Range(0u, kReachable)));

class JobCancelTest : public JobVerbTest, public testing::WithParamInterface<unsigned> {};

TEST_P(JobCancelTest, EndsAJobInEveryStateAndTakesEverythingBackOnce) {
  const auto wanted = static_cast<JobStatus>(GetParam());
  bring(wanted);
  ASSERT_TRUE(verb(job_, JobVerb::kCancel).ok());
  until([&] { return job_->cleaned == 1; });
  pass(std::chrono::milliseconds(10));
  EXPECT_FALSE(is_listed("job"));
  EXPECT_EQ(job_->aborted, 1);
  EXPECT_EQ(job_->cleaned, 1);
  EXPECT_EQ(job_->committed, 0);
  on_control([&] {
    assert_control_thread();
    EXPECT_EQ(status_errno(job_->result()), ECANCELED);
    EXPECT_EQ(status_text(job_->result()), "Operation canceled");
  });
  const std::vector<std::string> events = events_of("job");
  ASSERT_GE(events.size(), 3u);
  EXPECT_EQ(events[events.size() - 1], "null");
  EXPECT_EQ(events[events.size() - 2], "concluded");
  // A job that was never started has nothing to tell of its work.
  EXPECT_EQ(events[events.size() - 3], wanted == JobStatus::kCreated ? "aborting" : "CANCELLED");
}

INSTANTIATE_TEST_SUITE_P(All, JobCancelTest, testing::Range(0u, 7u));

TEST_F(JobVerbTest, ALifeIsToldInOrder) {
  const auto job = make("a", /*auto_finalize=*/false, /*auto_dismiss=*/false);
  start(job);
  until([&] { return job->done > 0; });
  job->end();
  until([&] { return events_.back() == "a:PENDING"; });
  EXPECT_EQ(job->prepared, 0);
  EXPECT_TRUE(verb(job, JobVerb::kFinalize).ok());
  until([&] { return events_.back() == "a:concluded"; });
  EXPECT_EQ(job->committed, 1);
  EXPECT_TRUE(is_listed("a"));
  EXPECT_TRUE(verb(job, JobVerb::kDismiss).ok());
  EXPECT_FALSE(is_listed("a"));
  EXPECT_EQ(events_of("a"),
            (std::vector<std::string>{"created", "running", "waiting", "pending", "PENDING",
                                      "COMPLETED", "concluded", "null"}));
}

TEST_F(JobVerbTest, AReadyJobGoesOnUntilItIsToldToComplete) {
  const auto job = make("a");
  job->completes = true;
  start(job);
  on_control([&] {
    assert_control_thread();
    job->become_ready();
  });
  pass(std::chrono::seconds(1));
  EXPECT_EQ(status(*job), JobStatus::kReady);
  EXPECT_TRUE(verb(job, JobVerb::kComplete).ok());
  until([&] { return events_.back() == "a:null"; });
  EXPECT_EQ(job->committed, 1);
}

TEST_F(JobVerbTest, OneThatIsPausedIsNotCancelledUnlessForced) {
  const auto job = make("a");
  start(job);
  ASSERT_TRUE(verb(job, JobVerb::kPause).ok());
  on_control([&] {
    assert_control_thread();
    EXPECT_EQ(status_text(job->cancel(false)), "The block job for device 'a' is currently paused");
    EXPECT_TRUE(job->cancel(true).ok());
  });
  until([&] { return events_.back() == "a:null"; });
}

TEST_F(JobVerbTest, AnIdIsTakenOnce) {
  const auto job = make("a");
  start(job);
  on_control([&] {
    assert_control_thread();
    const absl::Status again = registry_.start(make("a"));
    EXPECT_EQ(status_errno(again), EEXIST);
    EXPECT_EQ(status_text(again), "Job ID 'a' already in use");
  });
}

TEST_F(JobVerbTest, WhatIsListedButNotSetUpIsLeftAlone) {
  const auto job = make("a");
  on_control([&] {
    assert_control_thread();
    ASSERT_TRUE(registry_.add(job).ok());
    EXPECT_EQ(status_errno(job->cancel(true)), EBUSY);
    registry_.discard(*job);
    EXPECT_EQ(registry_.find("a"), nullptr);
  });
  EXPECT_EQ(job->aborted + job->cleaned, 0);
}

TEST_F(JobVerbTest, AtTheEndAllAreCancelledAndNoneIsTaken) {
  const auto paused = make("paused", true, false);
  const auto pending = make("pending", false, false);
  start(paused);
  start(pending);
  ASSERT_TRUE(verb(paused, JobVerb::kPause).ok());
  pending->end();
  until([&] { return events_.back() == "pending:PENDING"; });
  on_control([&] {
    assert_control_thread();
    assert_in_coroutine();
    registry_.end_all();
    EXPECT_EQ(status_errno(registry_.start(make("late"))), ESHUTDOWN);
    EXPECT_TRUE(registry_.co_wait_empty(AioContext::current()->now() + std::chrono::seconds(10)));
  });
  EXPECT_EQ(paused->aborted, 1);
  EXPECT_EQ(pending->aborted, 1);
}

}  // namespace
}  // namespace penstock
