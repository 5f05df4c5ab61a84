// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "iothreads/co_sleep.h"
#include "iothreads/fake_world.h"
#include "iothreads/timer_queue.h"
#include "tests/iothreads/test_threads.h"

namespace penstock {
namespace {

using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::milliseconds;

struct RecordingTimer : Timer {
  RecordingTimer(std::vector<int>* record, int which) : log(record), id(which) {
    fire = [](Timer* timer) {
      auto* const self = static_cast<RecordingTimer*>(timer);
      self->log->push_back(self->id);
    };
  }
  std::vector<int>* log;
  int id;
};

TEST(TimerQueue, FiresInOrderOfDeadlinesThenOfStarts) {
  TimerQueue queue;
  std::vector<int> log;
  RecordingTimer late(&log, 3), first(&log, 1), second(&log, 2), future(&log, 4);
  queue.start(&late, Nanoseconds(20));
  queue.start(&first, Nanoseconds(10));
  queue.start(&second, Nanoseconds(10));
  queue.start(&future, Nanoseconds(30));
  EXPECT_EQ(queue.next_deadline(), Nanoseconds(10));
  EXPECT_FALSE(queue.fire_due(Nanoseconds(9)));
  EXPECT_TRUE(queue.fire_due(Nanoseconds(20)));
  EXPECT_EQ(log, (std::vector<int>{1, 2, 3}));
  queue.cancel(&future);
  EXPECT_TRUE(queue.empty());
  EXPECT_FALSE(queue.fire_due(Nanoseconds(100)));
}

TEST(TimerQueue, ATimerMayRestartItselfWithoutHoldingTheLoop) {
  struct Repeating : Timer {
    TimerQueue* queue;
    int fired = 0;
  } timer;
  TimerQueue queue;
  timer.queue = &queue;
  timer.fire = [](Timer* fired) {
    auto* const self = static_cast<Repeating*>(fired);
    ++self->fired;
    self->queue->start(self, Nanoseconds(0));
  };
  queue.start(&timer, Nanoseconds(0));
  EXPECT_TRUE(queue.fire_due(Nanoseconds(5)));
  EXPECT_EQ(timer.fired, 1);
  queue.cancel(&timer);
  queue.cancel(&timer);  // nothing to cancel is no error
}

TEST(CoSleep, TakesItsTimeOnTheContextsClock) {
  FakeWorld world(1, 1);
  const Nanoseconds start = world.now();
  Nanoseconds end{0};
  world.context(0).spawn("sleeper", [&] {
    assert_in_coroutine();
    co_sleep(hours(5));
    end = world.now();
  });
  while (world.step()) {
  }
  EXPECT_EQ(end - start, hours(5));
}

TEST(CoSleep, SleepsAtLeastAsLongAsAskedOnARealClock) {
  for (const Engine engine : {Engine::kAuto, Engine::kThreads}) {
    const auto iothread = start_iothread("io", engine);
    run_sync(iothread->context(), [&] {
      assert_in_coroutine();
      AioContext& context = iothread->context();
      for (const Nanoseconds duration : {Nanoseconds(1), Nanoseconds(300'000)}) {
        const Nanoseconds start = context.now();
        co_sleep(duration);
        EXPECT_GE(context.now() - start, duration);
      }
    });
  }
}

TEST(CoSleep, AWakeBeforeTheSleepIsKeptAndUsedUp) {
  FakeWorld world(1, 1);
  CoSleep sleep;
  sleep.wake();
  std::vector<bool> woken;
  world.context(0).spawn("sleeper", [&] {
    assert_in_coroutine();
    woken.push_back(sleep.co_sleep_for(hours(1)));
    woken.push_back(sleep.co_sleep_for(hours(1)));
  });
  while (world.step()) {
  }
  EXPECT_EQ(woken, (std::vector<bool>{true, false}));
}

TEST(CoSleep, SleepsForeverUntilWoken) {
  FakeWorld world(2, 1);
  CoSleep sleep;
  bool woken = false;
  world.context(0).spawn("sleeper", [&] {
    assert_in_coroutine();
    woken = sleep.co_sleep_for(Nanoseconds::max());
  });
  world.context(1).spawn("waker", [&] {
    assert_in_coroutine();
    co_sleep(hours(24));
    sleep.wake();
  });
  EXPECT_TRUE(world.run_until([&] { return woken; }));
}

// Each thread sleeps until the other wakes it: a lost wake-up ends the test by its time limit.
TEST(CoSleep, HundredThousandWakesBetweenThreadsAreAllSeen) {
  const auto iothreads = start_iothreads(2);
  constexpr int kRounds = 50'000;
  CoSleep sleeps[2];
  Countdown done(2);
  for (int i = 0; i < 2; ++i) {
    iothreads[i]->context().spawn("player", [&sleeps, &done, i] {
      assert_in_coroutine();
      for (int round = 0; round < kRounds; ++round) {
        if (i == 0) sleeps[1].wake();
        EXPECT_TRUE(sleeps[i].co_sleep_for(hours(1)));
        if (i == 1) sleeps[0].wake();
      }
      done.arrive();
    });
  }
  done.wait();
}

TEST(CoSleep, TimeoutsThatRaceWithWakesEndExactlyOnce) {
  const auto iothreads = start_iothreads(2);
  CoSleep sleep;
  std::atomic<bool> stop{false};
  Countdown done(1);
  iothreads[0]->context().spawn("waker", [&] {
    assert_in_coroutine();
    for (uint64_t i = 0; !stop.load(); ++i) {
      sleep.wake();
      co_sleep(Nanoseconds(i * 7919 % 40'000));
    }
    done.arrive();
  });
  run_sync(iothreads[1]->context(), [&] {
    assert_in_coroutine();
    for (uint64_t i = 0; i < 5000; ++i) sleep.co_sleep_for(Nanoseconds(i * 104729 % 40'000));
  });
  stop = true;
  done.wait();
}

}  // namespace
}  // namespace penstock
