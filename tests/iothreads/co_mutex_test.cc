// SPDX-License-Identifier: Apache-2.0
#include "iothreads/co_mutex.h"

#include <gtest/gtest.h>

#include <atomic>

#include "base/sync_point.h"
#include "iothreads/fake_world.h"
#include "tests/iothreads/test_threads.h"

namespace penstock {
namespace {

TEST(CoMutex, GoesToItsWaitersInTheOrderOfTheirComing) {
  constexpr unsigned kContexts = 4;
  constexpr int kWaiters = 64;
  FakeWorld world(kContexts, 7);
  CoMutex mutex;
  CoEvent release;
  std::vector<int> order;
  world.context(0).spawn("holder", [&] {
    assert_in_coroutine();
    const CoMutexLock lock(mutex);
    release.co_wait();
  });
  world.step_context(0);
  for (int i = 0; i < kWaiters; ++i) {
    world.context(i % kContexts).spawn("waiter", [&mutex, &order, i] {
      assert_in_coroutine();
      const CoMutexLock lock(mutex);
      EXPECT_EQ(Coroutine::self()->locks_held, 1);
      order.push_back(i);
      co_pause();
    });
    world.step_context(i % kContexts);  // it queues now
    // Half of them come while others have had their turn already.
    if (i == kWaiters / 2) {
      release.set();
      for (int j = 0; j < 10; ++j) world.step();
    }
  }
  ASSERT_TRUE(world.run_until([&] { return order.size() == kWaiters; }));
  for (int i = 0; i < kWaiters; ++i) EXPECT_EQ(order[i], i);
  while (world.step()) {
  }
}

TEST(CoMutex, AWokenWaiterContinuesWhereItYielded) {
  FakeWorld world(2, 1);
  CoMutex mutex;
  bool done = false;
  world.context(0).spawn("holder", [&] {
    assert_in_coroutine();
    const CoMutexLock lock(mutex);
    co_reschedule_self(world.context(1));  // the holder may move
    co_pause();
  });
  world.step_context(0);
  world.context(0).spawn("waiter", [&] {
    assert_in_coroutine();
    const CoMutexLock lock(mutex);
    EXPECT_EQ(AioContext::current(), &world.context(0));
    done = true;
  });
  EXPECT_TRUE(world.run_until([&] { return done; }));
}

TEST(CoMutex, TryLockNeverOvertakes) {
  FakeWorld world(1, 1);
  CoMutex mutex;
  std::vector<std::string> log;
  world.context(0).spawn("holder", [&] {
    assert_in_coroutine();
    mutex.co_lock();
    co_pause();  // the waiter queues
    mutex.unlock();
    // Handed over already, though the waiter has not run yet.
    if (mutex.try_lock()) {
      log.push_back("overtaken");
      mutex.unlock();
    }
  });
  world.context(0).spawn("waiter", [&] {
    assert_in_coroutine();
    const CoMutexLock lock(mutex);
    log.push_back("waiter");
  });
  while (world.step()) {
  }
  EXPECT_EQ(log, std::vector<std::string>{"waiter"});
}

TEST(CoMutex, ExcludesCoroutinesOnFourThreads) {
  const auto iothreads = start_iothreads(4);
  constexpr int kCoroutines = 24;
  constexpr int kRounds = 1000;
  CoMutex mutex;
  int64_t counter = 0;  // plain: the mutex orders all accesses
  bool inside = false;
  Countdown done(kCoroutines);
  for (int i = 0; i < kCoroutines; ++i) {
    iothreads[i % 4]->context().spawn("worker", [&, i] {
      assert_in_coroutine();
      for (int round = 0; round < kRounds; ++round) {
        const CoMutexLock lock(mutex);
        if (std::exchange(inside, true)) fatal("two coroutines hold one CoMutex");
        if (round % 64 == i) co_pause();
        if (round % 100 == i) co_reschedule_self(iothreads[(i + round) % 4]->context());
        ++counter;
        inside = false;
      }
      done.arrive();
    });
  }
  done.wait();
  EXPECT_EQ(counter, int64_t{kCoroutines} * kRounds);
}

#if defined(PENSTOCK_SYNC_POINTS)

TEST(CoMutex, ALockerThatIsStoppedInsideLockDelaysNobody) {
  const auto iothreads = start_iothreads(3);
  CoMutex mutex;
  CoEvent unlock;
  ThreadLatch stopped, go_on, unlocked;
  Countdown held(1), late_done(1);

  iothreads[0]->context().spawn("holder", [&] {
    assert_in_coroutine();
    mutex.co_lock();
    held.arrive();
    unlock.co_wait();
    mutex.unlock();
    unlocked.open();
  });
  held.wait();

  std::atomic<bool> first{true};
  const SyncPointCallback stop("co_mutex:queueing", [&] {
    if (!first.exchange(false)) return;
    stopped.open();
    go_on.wait();
  });
  iothreads[1]->context().spawn("late", [&] {
    assert_in_coroutine();
    mutex.co_lock();
    mutex.unlock();
    late_done.arrive();  // only now may the test destroy the mutex
  });
  stopped.wait();

  unlock.set();
  unlocked.wait();
  // A third comes, locks and unlocks, while the second still stands inside co_lock().
  run_sync(iothreads[2]->context(), [&] {
    assert_in_coroutine();
    const CoMutexLock lock(mutex);
  });
  go_on.open();
  late_done.wait();
}

#endif

#if defined(PENSTOCK_DEBUG_CHECKS)

TEST(CoMutexDeathTest, UnlockBySomebodyElseAborts) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        FakeWorld world(1, 1);
        CoMutex mutex;
        world.context(0).spawn("holder", [&mutex]() NO_THREAD_SAFETY_ANALYSIS {
          mutex.co_lock();
          co_pause();
        });
        world.context(0).spawn("other", [&mutex]() NO_THREAD_SAFETY_ANALYSIS { mutex.unlock(); });
        world.step();
      },
      "unlocked by a coroutine that does not hold it");
}

#endif

}  // namespace
}  // namespace penstock
