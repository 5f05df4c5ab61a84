// SPDX-License-Identifier: Apache-2.0
#include "iothreads/co_gate.h"

#include <gtest/gtest.h>

#include "iothreads/fake_world.h"
#include "tests/iothreads/test_threads.h"

namespace penstock {
namespace {

TEST(CoGate, CloseRefusesNewWorkAndWaitsForTheOld) {
  FakeWorld world(1, 1);
  CoGate gate;
  CoEvent finish;
  bool closed = false;
  world.context(0).spawn("work", [&] {
    assert_in_coroutine();
    const CoGate::Holder holder(gate, "a timer");
    EXPECT_TRUE(holder);
    finish.co_wait();
  });
  world.step();
  EXPECT_EQ(gate.holders(), 1);
  world.context(0).spawn("closer", [&] {
    assert_in_coroutine();
    gate.co_close();
    closed = true;
  });
  const auto settle = [&world] {
    while (world.step()) {
    }
  };
  settle();
  EXPECT_FALSE(closed);
  EXPECT_FALSE(gate.try_enter("late"));
  finish.set();
  settle();
  EXPECT_TRUE(closed);
  EXPECT_EQ(gate.holders(), 0);
  gate.reopen();
  EXPECT_TRUE(gate.try_enter("again"));
  gate.leave();
}

TEST(CoGate, MayBeDestroyedOnceClosed) {
  const auto iothreads = start_iothreads(3);
  run_sync(iothreads[0]->context(), [&] {
    assert_in_coroutine();
    for (int i = 0; i < 500; ++i) {
      CoGate gate;
      for (int j = 1; j < 3; ++j) {
        ASSERT_TRUE(gate.try_enter("work"));
        iothreads[j]->context().spawn("work", [&gate] { gate.leave(); });
      }
      gate.co_close();
    }
  });
}

#if defined(PENSTOCK_DEBUG_CHECKS)

TEST(CoGateDeathTest, DestructionWithWorkInsideAbortsAndNamesIt) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        CoGate gate;
        gate.try_enter("the cache timer");
      },
      "with work inside: the cache timer");
}

#endif

}  // namespace
}  // namespace penstock
