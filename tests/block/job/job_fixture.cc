// SPDX-License-Identifier: Apache-2.0
#include "tests/block/job/job_fixture.h"

#include <utility>

#include "base/status.h"
#include "iothreads/co_event.h"
#include "iothreads/co_sleep.h"
#include "iothreads/coroutine.h"

namespace penstock {
namespace {

constexpr Nanoseconds kStep = std::chrono::milliseconds(1);

const char* name_of(const JobEvent& event) {
  switch (event.kind) {
    case JobEvent::Kind::kStatus:
      return "";
    case JobEvent::Kind::kReady:
      return "READY";
    case JobEvent::Kind::kPending:
      return "PENDING";
    case JobEvent::Kind::kError:
      return "ERROR";
    case JobEvent::Kind::kCompleted:
      return "COMPLETED";
    case JobEvent::Kind::kCancelled:
      return "CANCELLED";
  }
  return "";
}

}  // namespace

absl::Status TestJob::co_run() {
  unsigned running = workers;
  CoEvent ended;
  for (unsigned i = 0; i < workers; ++i) {
    world_.context(i % world_.size()).spawn("test worker", [this, &running, &ended] {
      assert_in_coroutine();
      co_work();
      if (--running == 0) ended.set();
    });
  }
  ended.co_wait();
  if (!failure_.ok()) return failure_;
  return end_.value_or(absl::OkStatus());
}

void TestJob::co_work() {
  JobPace::Worker worker(pace());
  while (!end_ && done < total) {
    if (!deaf && !worker.co_pass(piece)) return;
    ++inside;
    const absl::Status status = before_piece ? before_piece() : absl::OkStatus();
    if (status.ok()) done += piece;
    co_sleep(kStep);
    --inside;
    if (status.ok()) continue;
    if (co_failed(policy, /*is_read=*/true, status) != JobErrorAction::kReport) continue;
    failure_ = status;
    pace().stop();
    return;
  }
}

absl::Status TestJob::co_prepare() {
  ++prepared;
  return prepare_result;
}

absl::Status TestJob::begin_completion() {
  if (!completes) return Job::begin_completion();
  end();
  return absl::OkStatus();
}

JobFixture::JobFixture()
    : world_(3, 1),
      scope_(world_.context(0)),
      registry_([this](const Job& job, const JobEvent& event) {
        assert_control_thread();
        const std::string what =
            event.kind == JobEvent::Kind::kStatus ? job_status_name(job.status()) : name_of(event);
        events_.push_back(job.id() + ":" + what);
      }) {}

JobFixture::~JobFixture() {
  on_control([this] {
    assert_control_thread();
    registry_.end_all();
  });
  bool empty = false;
  on_control([&] {
    assert_control_thread();
    assert_in_coroutine();
    empty = registry_.co_wait_empty(AioContext::current()->now() + std::chrono::seconds(100));
  });
  EXPECT_TRUE(empty);
  // What has woken its waiters may still have a step to do.
  pass(std::chrono::milliseconds(10));
}

void JobFixture::on_control(const std::function<void()>& function) {
  bool done = false;
  world_.context(0).spawn("test", [&] {
    function();
    done = true;
  });
  until([&] { return done; });
}

void JobFixture::until(const std::function<bool()>& done) {
  ASSERT_TRUE(world_.run_until(done)) << "something is stuck";
}

void JobFixture::pass(Nanoseconds time) {
  on_control([&] {
    assert_in_coroutine();
    co_sleep(time);
  });
}

std::shared_ptr<TestJob> JobFixture::make(const std::string& id, bool auto_finalize,
                                          bool auto_dismiss) {
  return std::make_shared<TestJob>(world_, JobOptions{id, auto_finalize, auto_dismiss, 0});
}

void JobFixture::add(const std::shared_ptr<TestJob>& job, std::shared_ptr<JobGroup> group) {
  on_control([&] {
    assert_control_thread();
    const absl::Status added = registry_.add(job);
    ASSERT_TRUE(added.ok()) << status_text(added);
    if (group == nullptr) group = std::make_shared<JobGroup>();
    group->add(job);
  });
}

void JobFixture::start(const std::shared_ptr<TestJob>& job) {
  on_control([&] {
    assert_control_thread();
    const absl::Status started = registry_.start(job);
    ASSERT_TRUE(started.ok()) << status_text(started);
  });
}

void JobFixture::start(const std::shared_ptr<JobGroup>& group) {
  on_control([&] {
    assert_control_thread();
    group->start();
  });
}

absl::Status JobFixture::verb(const std::shared_ptr<TestJob>& job, JobVerb verb) {
  absl::Status result;
  on_control([&] {
    assert_control_thread();
    switch (verb) {
      case JobVerb::kCancel:
        result = job->cancel(true);
        break;
      case JobVerb::kPause:
        result = job->pause();
        break;
      case JobVerb::kResume:
        result = job->resume();
        break;
      case JobVerb::kSetSpeed:
        result = job->set_speed(0);
        break;
      case JobVerb::kComplete:
        result = job->complete();
        break;
      case JobVerb::kFinalize:
        result = job->finalize();
        break;
      case JobVerb::kDismiss:
        result = job->dismiss();
        break;
    }
  });
  return result;
}

JobStatus JobFixture::status(const Job& job) {
  JobStatus result{};
  on_control([&] {
    assert_control_thread();
    result = job.status();
  });
  return result;
}

bool JobFixture::is_listed(const std::string& id) {
  bool result = false;
  on_control([&] {
    assert_control_thread();
    result = registry_.find(id) != nullptr;
  });
  return result;
}

std::vector<std::string> JobFixture::events_of(const std::string& id) const {
  std::vector<std::string> result;
  for (const std::string& event : events_) {
    if (event.rfind(id + ":", 0) == 0) result.push_back(event.substr(id.size() + 1));
  }
  return result;
}

}  // namespace penstock
