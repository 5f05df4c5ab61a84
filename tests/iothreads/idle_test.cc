// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <time.h>

#include "iothreads/co_sleep.h"
#include "tests/iothreads/test_threads.h"

namespace penstock {
namespace {

using std::chrono::milliseconds;

Nanoseconds cpu_time_of_this_thread() {
  timespec time;
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return std::chrono::seconds(time.tv_sec) + Nanoseconds(time.tv_nsec);
}

class Idle : public testing::TestWithParam<Engine> {};

TEST_P(Idle, ALoopWithoutWorkSleepsAndUsesNoCpu) {
  const auto iothread = start_iothread("io", GetParam());
  AioContext& context = iothread->context();
  // Busy first, so that spinning has paid.
  run_sync(context, [] {
    assert_in_coroutine();
    for (int i = 0; i < 2000; ++i) co_sleep(Nanoseconds(1000));
  });
  const AioContext::Statistics& statistics = context.statistics();
  Nanoseconds cpu_before{0};
  uint64_t turns_before = 0;
  uint64_t turns_after = 0;
  Nanoseconds cpu_after{0};
  run_sync(context, [&] {
    assert_in_coroutine();
    co_sleep(milliseconds(50));
    cpu_before = cpu_time_of_this_thread();
    turns_before = statistics.turns.load();
    co_sleep(milliseconds(400));
    cpu_after = cpu_time_of_this_thread();
    turns_after = statistics.turns.load();
  });
  EXPECT_LE(turns_after - turns_before, 10u);
  EXPECT_LT(cpu_after - cpu_before, milliseconds(20));
}

TEST_P(Idle, NoSpinningWhereItIsTurnedOff) {
  const auto iothread = start_iothread("io", GetParam());
  AioContext& context = iothread->context();
  const auto& spins = context.statistics().spins;
  run_sync(context, [&] {
    assert_in_coroutine();
    context.set_max_spin(Nanoseconds::zero());
    const uint64_t before = spins.load();
    for (int i = 0; i < 100; ++i) co_sleep(Nanoseconds(10'000));
    EXPECT_EQ(spins.load(), before);
  });
}

INSTANTIATE_TEST_SUITE_P(Engines, Idle, testing::Values(Engine::kAuto, Engine::kThreads),
                         [](const auto& instance) {
                           return instance.param == Engine::kAuto ? "automatic" : "threads";
                         });

}  // namespace
}  // namespace penstock
