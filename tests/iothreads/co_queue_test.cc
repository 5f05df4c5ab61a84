// SPDX-License-Identifier: Apache-2.0
#include "iothreads/co_queue.h"

#include <gtest/gtest.h>

#include <deque>

#include "iothreads/fake_world.h"
#include "tests/iothreads/test_threads.h"

namespace penstock {
namespace {

TEST(CoQueue, WakesInOrderOneByOneOrAll) {
  FakeWorld world(1, 1);
  ThreadMutex mutex("test");
  CoQueue queue;
  std::vector<int> woken;
  for (int i = 0; i < 5; ++i) {
    world.context(0).spawn("waiter", [&, i] {
      assert_in_coroutine();
      const ThreadLock lock(mutex);
      queue.co_wait(mutex);
      woken.push_back(i);
    });
  }
  world.step();
  const auto wake = [&](bool all) {
    const ThreadLock lock(mutex);
    if (all) {
      queue.wake_all();
    } else {
      EXPECT_TRUE(queue.wake_one());
    }
  };
  wake(/*all=*/false);
  while (world.step()) {
  }
  EXPECT_EQ(woken, std::vector<int>{0});
  wake(/*all=*/true);
  while (world.step()) {
  }
  EXPECT_EQ(woken, (std::vector<int>{0, 1, 2, 3, 4}));
  EXPECT_TRUE(queue.empty());
  EXPECT_FALSE(queue.wake_one());
}

// A bounded buffer between producers and consumers on four threads.
template <typename Mutex, typename Lock>
void pass_items_through_a_buffer(Mutex& mutex) {
  const auto iothreads = start_iothreads(4);
  constexpr int kItems = 3000;
  constexpr size_t kRoom = 4;
  std::deque<int> buffer;
  CoQueue not_empty, not_full;
  int64_t sum = 0;
  Countdown done(4);
  for (int i = 0; i < 2; ++i) {
    iothreads[i]->context().spawn("producer", [&]() NO_THREAD_SAFETY_ANALYSIS {
      for (int item = 1; item <= kItems; ++item) {
        Lock lock(mutex);
        while (buffer.size() == kRoom) not_full.co_wait(mutex);
        buffer.push_back(item);
        not_empty.wake_one();
      }
      done.arrive();
    });
    iothreads[2 + i]->context().spawn("consumer", [&]() NO_THREAD_SAFETY_ANALYSIS {
      for (int taken = 0; taken < kItems; ++taken) {
        Lock lock(mutex);
        while (buffer.empty()) not_empty.co_wait(mutex);
        sum += buffer.front();
        buffer.pop_front();
        not_full.wake_one();
      }
      done.arrive();
    });
  }
  done.wait();
  EXPECT_EQ(sum, int64_t{kItems} * (kItems + 1));
}

TEST(CoQueue, LosesNoWakeUpUnderAThreadMutex) {
  ThreadMutex mutex("test");
  pass_items_through_a_buffer<ThreadMutex, ThreadLock>(mutex);
}

TEST(CoQueue, LosesNoWakeUpUnderACoMutex) {
  CoMutex mutex;
  pass_items_through_a_buffer<CoMutex, CoMutexLock>(mutex);
}

TEST(CoQueueDeathTest, DestructionWithWaitersAborts) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        FakeWorld world(1, 1);
        ThreadMutex mutex("test");
        CoQueue queue;
        world.context(0).spawn("waiter", [&] {
          assert_in_coroutine();
          const ThreadLock lock(mutex);
          queue.co_wait(mutex);
        });
        world.step();
      },
      "CoQueue is destroyed while coroutines wait");
}

}  // namespace
}  // namespace penstock
