// SPDX-License-Identifier: Apache-2.0
#include "iothreads/co_event.h"

#include <gtest/gtest.h>

#include "iothreads/co_sleep.h"
#include "iothreads/fake_world.h"
#include "tests/iothreads/test_threads.h"

namespace penstock {
namespace {

using std::chrono::seconds;

TEST(CoEvent, WakesAllWhoWaitAndStaysSet) {
  FakeWorld world(3, 5);
  CoEvent event;
  int woken = 0;
  for (unsigned i = 0; i < 9; ++i) {
    AioContext& context = world.context(i % 3);
    context.spawn("waiter", [&event, &woken, &context] {
      assert_in_coroutine();
      event.co_wait();
      EXPECT_EQ(AioContext::current(), &context);
      ++woken;
    });
  }
  while (world.step()) {
  }
  EXPECT_EQ(woken, 0);
  event.set();
  while (world.step()) {
  }
  EXPECT_EQ(woken, 9);
  EXPECT_TRUE(event.is_set());
  event.reset();
  EXPECT_FALSE(event.is_set());
}

TEST(CoEvent, ATimedWaitEndsAtItsDeadlineOrWithTheEvent) {
  FakeWorld world(2, 3);
  CoEvent event;
  std::vector<std::pair<int, bool>> ends;
  for (const int limit : {30, 10, 20, 40}) {
    world.context(0).spawn("waiter", [&, limit] {
      assert_in_coroutine();
      const bool set = event.co_wait_until(AioContext::current()->now() + seconds(limit));
      ends.emplace_back(limit, set);
    });
  }
  world.step_context(0);
  world.context(1).spawn("setter", [&] {
    assert_in_coroutine();
    co_sleep(seconds(25));
    event.set();
  });
  while (world.step()) {
  }
  EXPECT_EQ(ends,
            (std::vector<std::pair<int, bool>>{{10, false}, {20, false}, {30, true}, {40, true}}));
  EXPECT_TRUE(world.context(0).timers().empty());
}

TEST(CoEvent, ADeadlineInThePastStillSeesASetEvent) {
  FakeWorld world(1, 1);
  CoEvent event;
  std::vector<bool> results;
  world.context(0).spawn("waiter", [&] {
    assert_in_coroutine();
    results.push_back(event.co_wait_until(Nanoseconds(0)));
    event.set();
    results.push_back(event.co_wait_until(Nanoseconds(0)));
  });
  while (world.step()) {
  }
  EXPECT_EQ(results, (std::vector<bool>{false, true}));
}

TEST(CoEvent, MayBeDestroyedByWhomItWoke) {
  const auto iothreads = start_iothreads(2);
  run_sync(iothreads[0]->context(), [&] {
    assert_in_coroutine();
    for (int i = 0; i < 2000; ++i) {
      CoEvent done;
      iothreads[1]->context().spawn("setter", [&done] { done.set(); });
      done.co_wait();
    }
  });
}

}  // namespace
}  // namespace penstock
