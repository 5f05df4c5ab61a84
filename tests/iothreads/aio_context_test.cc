// SPDX-License-Identifier: Apache-2.0
#include "iothreads/aio_context.h"

#include <gtest/gtest.h>

#include <atomic>
#include <set>

#include "base/sync_point.h"
#include "iothreads/fake_world.h"
#include "tests/iothreads/test_threads.h"

namespace penstock {
namespace {

TEST(AioContext, SpawnFromAnotherThreadRunsOnItsOwn) {
  const auto iothread = start_iothread("io");
  const auto here = std::this_thread::get_id();
  run_sync(iothread->context(), [&] {
    EXPECT_NE(std::this_thread::get_id(), here);
    EXPECT_EQ(AioContext::current(), &iothread->context());
  });
}

TEST(AioContext, RunsWorkFromOneThreadInItsOrder) {
  const auto iothread = start_iothread("io");
  std::vector<int> order;
  Countdown done(1000);
  for (int i = 0; i < 1000; ++i) {
    iothread->context().spawn("test", [&order, &done, i] {
      order.push_back(i);
      done.arrive();
    });
  }
  done.wait();
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(order[i], i);
}

TEST(AioContext, WhatBecomesReadyInATurnRunsInTheNext) {
  FakeWorld world(1, 1);
  int rounds = 0;
  world.context(0).spawn("test", [&rounds] {
    assert_in_coroutine();
    for (; rounds < 5; ++rounds) co_pause();
  });
  for (int turn = 0; turn < 3; ++turn) EXPECT_TRUE(world.step_context(0));
  EXPECT_EQ(rounds, 2);
  while (world.step()) {
  }
}

TEST(AioContext, CoroutinesMoveBetweenFourThreadsManyTimes) {
  const auto iothreads = start_iothreads(4);
  constexpr int kCoroutines = 16;
  constexpr int kRounds = 1500;
  Countdown done(kCoroutines);
  for (int i = 0; i < kCoroutines; ++i) {
    iothreads[i % 4]->context().spawn("test", [&iothreads, &done, i] {
      assert_in_coroutine();
      // Kept on the coroutine's stack, to be right after each move.
      int64_t sum = 0;
      for (int round = 0; round < kRounds; ++round) {
        AioContext& target = iothreads[(i + round) % 4]->context();
        co_reschedule_self(target);
        if (AioContext::current() != &target || Coroutine::self()->context() != &target) {
          fatal("a coroutine continued in the wrong place");
        }
        sum += round;
      }
      EXPECT_EQ(sum, int64_t{kRounds} * (kRounds - 1) / 2);
      done.arrive();
    });
  }
  done.wait();
}

TEST(AioContext, WakesPassBetweenThreadsWithoutLoss) {
  const auto iothreads = start_iothreads(4);
  constexpr int kRounds = 5000;
  // A token goes round: each coroutine waits for its event, resets it and sets the next.
  struct Station {
    CoEvent event;
  };
  std::vector<Station> stations(4);
  Countdown done(4);
  for (int i = 0; i < 4; ++i) {
    iothreads[i]->context().spawn("test", [&stations, &done, i] {
      assert_in_coroutine();
      for (int round = 0; round < kRounds; ++round) {
        stations[i].event.co_wait();
        stations[i].event.reset();
        stations[(i + 1) % 4].event.set();
      }
      done.arrive();
    });
  }
  stations[0].event.set();
  done.wait();
}

TEST(AioContext, PassAllContextsWaitsForWhatRunsElsewhere) {
  const auto iothreads = start_iothreads(3);
  ThreadLatch entered, release;
  std::atomic<bool> left{false};
  iothreads[1]->context().spawn("busy", [&] {
    entered.open();
    release.wait();  // stands for a request in the midst of its work: no yield
    left.store(true, std::memory_order_relaxed);
  });
  entered.wait();
  bool left_when_passed = false;
  ThreadLatch passed;
  iothreads[0]->context().spawn("passer", [&] {
    assert_in_coroutine();
    co_pass_all_contexts();
    left_when_passed = left.load(std::memory_order_relaxed);
    EXPECT_EQ(AioContext::current(), &iothreads[0]->context());
    passed.open();
  });
  // The passer is under way or about to be; it cannot get past the busy one either way.
  run_sync(iothreads[2]->context(), [] {});
  EXPECT_FALSE(left_when_passed);
  release.open();
  passed.wait();
  EXPECT_TRUE(left_when_passed);
}

TEST(AioContext, StorageMayBeFreedAfterPassingAllContexts) {
  const auto iothreads = start_iothreads(3);
  std::atomic<int*> shared{new int(0)};
  std::atomic<bool> stop{false};
  Countdown readers(2);
  for (int i = 1; i < 3; ++i) {
    iothreads[i]->context().spawn("reader", [&] {
      assert_in_coroutine();
      while (!stop.load(std::memory_order_relaxed)) {
        for (int j = 0; j < 100; ++j) EXPECT_GE(*shared.load(std::memory_order_acquire), 0);
        co_pause();
      }
      readers.arrive();
    });
  }
  run_sync(iothreads[0]->context(), [&] {
    assert_in_coroutine();
    for (int i = 1; i < 300; ++i) {
      int* const old = shared.exchange(new int(i), std::memory_order_acq_rel);
      co_pass_all_contexts();
      *old = -1;
      delete old;
    }
  });
  stop = true;
  readers.wait();
  delete shared.load();
}

TEST(AioContext, PassingAllContextsSurvivesThreadsThatComeAndGo) {
  const auto keeper = start_iothread("keeper");
  std::atomic<bool> stop{false};
  Countdown done(1);
  keeper->context().spawn("passer", [&] {
    assert_in_coroutine();
    while (!stop.load()) co_pass_all_contexts();
    done.arrive();
  });
  for (int i = 0; i < 50; ++i) {
    const auto guest = start_iothread("guest");
    run_sync(guest->context(), [] {
      assert_in_coroutine();
      co_pause();
    });
  }
  stop = true;
  done.wait();
}

TEST(AioContext, SlotsAreUniqueAndUsedAgain) {
  std::vector<std::shared_ptr<AioContext>> contexts;
  std::set<unsigned> slots;
  for (;;) {
    auto context = AioContext::create("c");
    if (!context.ok()) {
      EXPECT_EQ(status_errno(context.status()), EAGAIN);
      break;
    }
    EXPECT_LT((*context)->slot(), kMaxContexts);
    EXPECT_TRUE(slots.insert((*context)->slot()).second);
    contexts.push_back(*std::move(context));
  }
  EXPECT_EQ(slots.size(), kMaxContexts);
  contexts.clear();
  EXPECT_TRUE(AioContext::create("again").ok());
}

TEST(AioContext, AllListsRunningContextsOnly) {
  const auto before = AioContext::all().size();
  {
    const auto iothread = start_iothread("io");
    EXPECT_EQ(AioContext::all().size(), before + 1);
  }
  EXPECT_EQ(AioContext::all().size(), before);
}

TEST(AioContext, WorkScheduledBeforeTheStopRunsBeforeTheLoopEnds) {
  for (int i = 0; i < 100; ++i) {
    bool ran = false;
    {
      const auto iothread = start_iothread("io");
      iothread->context().spawn("test", [&ran] { ran = true; });
    }
    EXPECT_TRUE(ran);
  }
}

TEST(AioContext, PollSourcesAreAskedInEachTurnAndBeforeSleep) {
  class Source : public PollSource {
   public:
    bool poll() override { return polls++ == 0; }
    bool prepare_to_sleep() override { return prepares.fetch_add(1) > 0; }
    int polls = 0;
    std::atomic<int> prepares{0};
  } source;
  {
    const auto iothread = start_iothread("io");
    run_sync(iothread->context(), [&] { iothread->context().add_poll_source(&source); });
    run_sync(iothread->context(), [&] { iothread->context().remove_poll_source(&source); });
  }
  EXPECT_GE(source.polls, 1);
}

TEST(AioContextDeathTest, NestedLoopsAndBridgesAbort) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        FakeWorld world(2, 1);
        world.context(0).spawn("test", [&world] { world.context(1).turn(); });
        world.step_context(0);
      },
      "event loop runs inside another: fake0");
  EXPECT_DEATH(
      {
        const auto iothread = start_iothread("io");
        run_sync(iothread->context(), [&] { run_sync(iothread->context(), [] {}); });
      },
      "run_sync");
}

TEST(RunSync, GivesTheResultBack) {
  const auto iothread = start_iothread("io");
  EXPECT_EQ(run_sync(iothread->context(), [] { return std::string("answer"); }), "answer");
}

TEST(RunSync, TurnsALoopThatNoThreadRunsYet) {
  auto context = AioContext::create("main");
  ASSERT_TRUE(context.ok());
  auto choice = make_poller(Engine::kAuto);
  ASSERT_TRUE(choice.ok());
  (*context)->attach_poller(std::move(choice->poller));
  const auto iothread = start_iothread("io");
  const int result = run_loop_sync(**context, [&] {
    assert_in_coroutine();
    EXPECT_EQ(AioContext::current(), context->get());
    co_reschedule_self(iothread->context());
    return 7;  // ends elsewhere
  });
  EXPECT_EQ(result, 7);
  (*context)->stop();
  (*context)->run();  // a stop before the run counts
}

#if defined(PENSTOCK_SYNC_POINTS)

TEST(AioContext, WorkThatComesWhileTheLoopGoesToSleepIsNotLost) {
  const auto iothread = start_iothread("io");
  for (int i = 0; i < 20; ++i) {
    ThreadLatch falling_asleep, pushed;
    // Armed by the loop itself: a sleep that began before must not be held, since the loop has yet
    // to run what arms it.
    std::atomic<bool> armed{false};
    const SyncPointCallback hold("aio_context:sleeping", [&] {
      if (AioContext::current() != &iothread->context() || !armed.exchange(false)) return;
      falling_asleep.open();
      pushed.wait();
    });
    run_sync(iothread->context(), [&armed] { armed = true; });
    falling_asleep.wait();
    Countdown done(1);
    iothread->context().spawn("test", [&done] { done.arrive(); });
    pushed.open();
    done.wait();
  }
}

#endif

}  // namespace
}  // namespace penstock
