// SPDX-License-Identifier: Apache-2.0
#include "iothreads/control_thread.h"

#include <gtest/gtest.h>

#include "iothreads/fake_world.h"
#include "tests/iothreads/test_threads.h"

namespace penstock {
namespace {

TEST(ControlThread, IsTheOneThatRunsTheControlContext) {
  const auto iothreads = start_iothreads(2);
  const ControlThreadScope scope(iothreads[0]->context());
  EXPECT_FALSE(on_control_thread());
  EXPECT_EQ(&control_context(), &iothreads[0]->context());
  EXPECT_TRUE(run_sync(iothreads[0]->context(), [] { return on_control_thread(); }));
  EXPECT_FALSE(run_sync(iothreads[1]->context(), [] { return on_control_thread(); }));
}

TEST(ControlThread, FollowsTheSteppedContextInAFakeWorld) {
  FakeWorld world(2, 1);
  const ControlThreadScope scope(world.context(1));
  std::vector<bool> seen;
  for (unsigned i = 0; i < 2; ++i) {
    world.context(i).spawn("test", [&seen] { seen.push_back(on_control_thread()); });
    world.step_context(i);
  }
  EXPECT_EQ(seen, (std::vector<bool>{false, true}));
}

TEST(ControlThread, AHopGoesThereAndComesBack) {
  const auto iothreads = start_iothreads(2);
  const ControlThreadScope scope(iothreads[0]->context());
  for (const auto& iothread : iothreads) {
    run_sync(iothread->context(), [&] {
      assert_in_coroutine();
      {
        const CoControlHop hop;
        EXPECT_TRUE(on_control_thread());
        assert_control_thread();
      }
      EXPECT_EQ(AioContext::current(), &iothread->context());
    });
  }
}

TEST(ControlThreadDeathTest, CannotBeClaimedTwice) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        FakeWorld world(2, 1);
        const ControlThreadScope scope(world.context(0));
        const ControlThreadScope again(world.context(1));
      },
      "there is a control thread already: fake0");
}

}  // namespace
}  // namespace penstock
