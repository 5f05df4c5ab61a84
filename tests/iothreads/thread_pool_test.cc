// SPDX-License-Identifier: Apache-2.0
#include "iothreads/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>

#include "absl/status/statusor.h"
#include "base/status.h"
#include "tests/iothreads/test_threads.h"

namespace penstock {
namespace {

TEST(ThreadPool, RunsOnAWorkerAndContinuesOnTheOwnContext) {
  const auto iothread = start_iothread("io");
  run_sync(iothread->context(), [&] {
    assert_in_coroutine();
    const auto here = std::this_thread::get_id();
    const bool elsewhere = ThreadPool::shared().co_run([here] {
      assert_not_in_coroutine();
      return std::this_thread::get_id() != here && AioContext::current() == nullptr;
    });
    EXPECT_TRUE(elsewhere);
    EXPECT_EQ(std::this_thread::get_id(), here);
    EXPECT_EQ(AioContext::current(), &iothread->context());
  });
}

TEST(ThreadPool, StartsThreadsOnDemandUpToItsLimit) {
  constexpr int kLimit = 3;
  ThreadPool pool(kLimit);
  std::atomic<int> running{0};
  std::atomic<int> most{0};
  Countdown full(kLimit);
  ThreadLatch release;
  Countdown done(20);
  for (int i = 0; i < 20; ++i) {
    pool.submit([&, i] {
      const int now = ++running;
      int seen = most.load();
      while (seen < now && !most.compare_exchange_weak(seen, now)) {
      }
      if (i < kLimit) full.arrive();
      release.wait();
      --running;
      done.arrive();
    });
  }
  full.wait();  // as many as the limit run at the same time
  release.open();
  done.wait();
  EXPECT_EQ(most.load(), kLimit);
}

TEST(ThreadPool, ServesManyCoroutinesOfSeveralThreads) {
  ThreadPool pool(4);
  const auto iothreads = start_iothreads(3);
  constexpr int kCoroutines = 30;
  std::atomic<int> jobs{0};
  Countdown done(kCoroutines);
  for (int i = 0; i < kCoroutines; ++i) {
    iothreads[i % 3]->context().spawn("caller", [&] {
      assert_in_coroutine();
      for (int round = 0; round < 50; ++round) {
        EXPECT_EQ(pool.co_run([&jobs, round] {
          ++jobs;
          return round;
        }),
                  round);
      }
      done.arrive();
    });
  }
  done.wait();
  EXPECT_EQ(jobs.load(), kCoroutines * 50);
}

TEST(ThreadPool, FinishesQueuedJobsBeforeItEnds) {
  std::atomic<int> jobs{0};
  {
    ThreadPool pool(2);
    for (int i = 0; i < 100; ++i) pool.submit([&jobs] { ++jobs; });
  }
  EXPECT_EQ(jobs.load(), 100);
}

TEST(ThreadPool, RefusesAtOnceWhenEveryThreadIsTaken) {
  ThreadPool pool(2);
  ThreadLatch release;
  Countdown taken(2);
  for (int i = 0; i < 2; ++i) {
    pool.submit([&] {
      taken.arrive();
      release.wait();
    });
  }
  taken.wait();
  const auto iothread = start_iothread("io");
  run_sync(iothread->context(), [&] {
    assert_in_coroutine();
    bool ran = false;
    const auto refused = pool.co_try_run([&]() -> absl::Status {
      ran = true;
      return absl::OkStatus();
    });
    EXPECT_EQ(status_errno(refused), EAGAIN) << refused;
    EXPECT_FALSE(ran);
    release.open();
    // A worker that is free again serves the next call.
    absl::StatusOr<int> answer = absl::UnknownError("none yet");
    while (!answer.ok()) answer = pool.co_try_run([]() -> absl::StatusOr<int> { return 7; });
    EXPECT_EQ(*answer, 7);
  });
}

}  // namespace
}  // namespace penstock
