// SPDX-License-Identifier: Apache-2.0
#include "iothreads/coroutine.h"

#include <gtest/gtest.h>

#include <climits>
#include <set>
#include <string>
#include <vector>

#include "iothreads/fake_world.h"
#include "iothreads/thread_mutex.h"
#include "tests/iothreads/test_threads.h"

namespace penstock {
namespace {

TEST(Coroutine, RunsAndYieldsInTurn) {
  FakeWorld world(1, 1);
  std::vector<std::string> events;
  for (const char* name : {"a", "b"}) {
    world.context(0).spawn("test", [&events, name] {
      assert_in_coroutine();
      events.push_back(std::string(name) + "1");
      co_pause();
      events.push_back(std::string(name) + "2");
    });
  }
  EXPECT_TRUE(events.empty()) << "a coroutine is started by the loop, not by spawn()";
  while (world.step()) {
  }
  EXPECT_EQ(events, (std::vector<std::string>{"a1", "b1", "a2", "b2"}));
}

TEST(Coroutine, SelfIsTheRunningOneAndNobodyOutside) {
  FakeWorld world(1, 1);
  EXPECT_EQ(Coroutine::self(), nullptr);
  Coroutine* seen = nullptr;
  AioContext* context = nullptr;
  world.context(0).spawn("test", [&] {
    seen = Coroutine::self();
    context = Coroutine::self()->context();
    EXPECT_EQ(AioContext::current(), context);
  });
  world.step();
  EXPECT_NE(seen, nullptr);
  EXPECT_EQ(context, &world.context(0));
  EXPECT_EQ(Coroutine::self(), nullptr);
  EXPECT_EQ(AioContext::current(), nullptr);
}

TEST(Coroutine, ObjectsAreUsedAgain) {
  FakeWorld world(1, 1);
  std::set<Coroutine*> seen;
  for (int i = 0; i < 1000; ++i) {
    world.context(0).spawn("test", [&seen] { seen.insert(Coroutine::self()); });
    world.step();
  }
  EXPECT_EQ(seen.size(), 1u);
}

TEST(Coroutine, ManyAtOnceAllEnd) {
  FakeWorld world(1, 1);
  constexpr int kCount = 1000;
  int ended = 0;
  for (int i = 0; i < kCount; ++i) {
    world.context(0).spawn("test", [&ended] {
      assert_in_coroutine();
      co_pause();
      ++ended;
    });
  }
  while (world.step()) {
  }
  EXPECT_EQ(ended, kCount);
}

TEST(Coroutine, WakeUpOnItsOwnContextBeforeTheYieldIsKept) {
  FakeWorld world(1, 1);
  bool continued = false;
  world.context(0).spawn("test", [&] {
    assert_in_coroutine();
    Coroutine* const self = Coroutine::self();
    self->context()->schedule(self);
    co_yield_self();
    continued = true;
  });
  while (world.step()) {
  }
  EXPECT_TRUE(continued);
}

TEST(Coroutine, WakeUpFromAnotherThreadBeforeTheYieldIsKept) {
  const auto iothread = start_iothread("io");
  for (int i = 0; i < 200; ++i) {
    run_sync(iothread->context(), [] {
      assert_in_coroutine();
      Coroutine* const self = Coroutine::self();
      std::thread waker([self, context = self->context()] { context->schedule(self); });
      waker.join();  // the wake-up has come; the yield has not
      co_yield_self();
    });
  }
}

TEST(Coroutine, TagsOfEndedCoroutinesAreClear) {
  FakeWorld world(1, 1);
  const auto tagged = [] {
    int count = 0;
    Coroutine::for_each([&count](Coroutine& each) {
      if (each.tag().operation.load() != nullptr) ++count;
    });
    return count;
  };
  world.context(0).spawn("test", [] {
    assert_in_coroutine();
    Coroutine::self()->tag().operation.store("read");
    Coroutine::self()->tag().offset.store(4096);
    co_pause();
  });
  world.step();
  EXPECT_EQ(tagged(), 1);
  while (world.step()) {
  }
  EXPECT_EQ(tagged(), 0);
}

// Uses the stack without letting the compiler turn the recursion into a loop.
[[gnu::noinline]] int recurse(volatile int* depth) {
  volatile char frame[1024];
  frame[0] = static_cast<char>(*depth);
  *depth = *depth + 1;
  if (*depth == INT_MAX) return 0;
  return recurse(depth) + frame[0];
}

TEST(CoroutineDeathTest, OverflowOfTheStackFaults) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        FakeWorld world(1, 1);
        volatile int depth = 0;
        world.context(0).spawn("test", [&depth] { recurse(&depth); });
        world.step();
      },
      "");
}

TEST(Coroutine, HasMostOfItsStackForItself) {
  FakeWorld world(1, 1);
  bool done = false;
  world.context(0).spawn("test", [&done] {
    volatile char large[128 * 1024];
    for (size_t i = 0; i < sizeof(large); i += 512) large[i] = 1;
    done = true;
  });
  world.step();
  EXPECT_TRUE(done);
}

TEST(CoroutineDeathTest, YieldOutsideACoroutineAborts) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        assert_in_coroutine();
        co_yield_self();
      },
      "outside any coroutine");
}

#if defined(PENSTOCK_DEBUG_CHECKS)

TEST(CoroutineDeathTest, YieldWithAThreadMutexHeldAbortsAndNamesIt) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        FakeWorld world(1, 1);
        ThreadMutex mutex("the table");
        world.context(0).spawn("test", [&mutex] {
          assert_in_coroutine();
          const ThreadLock lock(mutex);
          co_pause();
        });
        world.step();
      },
      "yields with a thread mutex held: the table");
}

TEST(CoroutineDeathTest, BlockingCodeInACoroutineAborts) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        FakeWorld world(1, 1);
        world.context(0).spawn("reader", [] { assert_not_in_coroutine(); });
        world.step();
      },
      "may block runs in a coroutine: reader");
}

TEST(CoroutineDeathTest, EndWithALockHeldAborts) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        FakeWorld world(1, 1);
        world.context(0).spawn("forgetful", [] { ++Coroutine::self()->locks_held; });
        world.step();
      },
      "ended while it held a lock or lease: forgetful");
}

#endif

}  // namespace
}  // namespace penstock
