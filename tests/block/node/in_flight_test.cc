// SPDX-License-Identifier: Apache-2.0
#include "block/node/in_flight.h"

#include <atomic>
#include <cstddef>
#include <thread>

#include "block/backend/gate.h"
#include "gtest/gtest.h"

namespace penstock {
namespace {

// What one context writes on its request path shares a line with nobody.
static_assert(sizeof(ContextCounters) == 64);
static_assert(alignof(ContextCounters) == 64);
static_assert(alignof(InFlightCounters) == 64);
static_assert(sizeof(InFlightCounters) == (kMaxContexts + 1) * 64,
              "the waiters' flag has a line of its own, behind the contexts' lines");
static_assert(alignof(Gate) == 64 && sizeof(Gate) % 64 == 0);

TEST(InFlightCounters, ARequestMayEndOnAnotherContextThanItBeganOn) {
  InFlightCounters counters;
  EXPECT_TRUE(counters.idle());
  counters.begin(3);
  EXPECT_FALSE(counters.idle());
  EXPECT_EQ(counters.in_flight(), 1u);
  counters.end(5);
  EXPECT_TRUE(counters.idle());
}

TEST(InFlightCounters, UntrackedRequestsAreCountedByThemselves) {
  InFlightCounters counters;
  counters.begin_untracked(0);
  EXPECT_TRUE(counters.idle());
  EXPECT_FALSE(counters.untracked_idle());
  counters.end_untracked(1);
  EXPECT_TRUE(counters.untracked_idle());
}

TEST(InFlightCounters, AnEndWakesOnlyAnnouncedWaiters) {
  InFlightCounters counters;
  drain_event().reset();
  counters.begin(0);
  counters.end(0);
  EXPECT_FALSE(drain_event().is_set());
  counters.add_waiter();
  counters.begin(0);
  counters.end(0);
  EXPECT_TRUE(drain_event().is_set());
  counters.remove_waiter();
  drain_event().reset();
}

// The two sides of a gate, over and over: at least one must see the other.
TEST(Barriers, CountThenLookMeetsStopThenSum) {
  constexpr int kRounds = 300;
  for (int round = 0; round < kRounds; ++round) {
    InFlightCounters counters;
    std::atomic<bool> stop{false};
    std::atomic<int> arrived{0};
    bool went_in = false;
    bool saw_idle = false;
    std::thread request([&] {
      arrived.fetch_add(1);
      while (arrived.load() < 2) {
      }
      counters.begin(0);
      light_barrier();
      went_in = !stop.load(std::memory_order_relaxed);
    });
    arrived.fetch_add(1);
    while (arrived.load() < 2) {
    }
    stop.store(true, std::memory_order_relaxed);
    heavy_barrier();
    saw_idle = counters.idle();
    request.join();
    EXPECT_FALSE(went_in && saw_idle);
  }
}

}  // namespace
}  // namespace penstock
