// SPDX-License-Identifier: Apache-2.0
// Rates, order and fairness of a throttle group on a clock that the test moves.
#include "drivers/throttle/throttle_group.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <vector>

#include "base/status.h"
#include "iothreads/co_sleep.h"
#include "iothreads/coroutine.h"
#include "iothreads/fake_world.h"

namespace penstock {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr auto kRead = ThrottleDirection::kRead;
constexpr auto kWrite = ThrottleDirection::kWrite;
constexpr unsigned kContexts = 4;

using Times = std::vector<Nanoseconds>;  // when requests passed, from the start of the test

class ThrottleGroupTest : public testing::Test {
 protected:
  void limit(const json& limits) {
    group_ = std::make_shared<ThrottleGroup>("g", parsed(limits));
    for (int i = 0; i < 2; ++i) {
      members_.push_back(std::make_unique<ThrottleMember>(group_, "node" + std::to_string(i)));
    }
  }
  static ThrottleLimits parsed(const json& limits) {
    return throttle_limits_from_json(limits, {}).value();
  }
  ThrottleMember& member(unsigned index = 0) { return *members_[index]; }
  Nanoseconds time() const { return world_.now() - start_; }

  void spawn(unsigned context, std::function<void()> function) {
    ++running_;
    world_.context(context % kContexts).spawn("test", [this, function = std::move(function)] {
      function();
      --running_;
    });
  }
  // One request after the other, until the clock says `end`.
  void stream(unsigned context, ThrottleMember& member, ThrottleDirection direction, uint64_t bytes,
              Nanoseconds end, Times& times) {
    spawn(context, [this, &member, direction, bytes, end, &times] {
      assert_in_coroutine();
      while (true) {
        member.co_pass(direction, bytes);
        if (time() > end) return;
        times.push_back(time());
      }
    });
  }
  void request(unsigned context, ThrottleMember& member, ThrottleDirection direction, Times& times,
               uint64_t bytes = 512) {
    spawn(context, [this, &member, direction, bytes, &times] {
      assert_in_coroutine();
      member.co_pass(direction, bytes);
      times.push_back(time());
    });
  }
  // In a coroutine, at once.
  void act(std::function<void()> function) {
    bool done = false;
    world_.context(0).spawn("act", [&] {
      function();
      done = true;
    });
    while (!done) world_.step_context(0);
  }
  // All that can move without the clock.
  void settle() {
    bool moved = true;
    while (moved) {
      moved = false;
      for (unsigned i = 0; i < kContexts; ++i) moved = world_.step_context(i) || moved;
    }
  }
  void finish() {
    ASSERT_TRUE(world_.run_until([this] { return running_ == 0; })) << running_ << " are stuck";
    EXPECT_EQ(group_->waiting(), 0u);
  }
  // How many requests passed within `duration`, with several at a time on every context.
  size_t passed(const json& limits, ThrottleDirection direction, uint64_t bytes,
                Nanoseconds duration) {
    limit(limits);
    Times times;
    for (unsigned i = 0; i < 8; ++i) {
      stream(i, member(i % 2), direction, bytes, duration, times);
    }
    finish();
    return times.size();
  }

  FakeWorld world_{kContexts, 1};
  const Nanoseconds start_ = world_.now();
  std::shared_ptr<ThrottleGroup> group_;
  std::vector<std::unique_ptr<ThrottleMember>> members_;
  int running_ = 0;
};

TEST_F(ThrottleGroupTest, AnAverageOfOperationsIsKeptExactly) {
  limit({{"iops-total", 100}});
  Times times;
  for (unsigned i = 0; i < 8; ++i) stream(i, member(), kRead, 4096, seconds(10), times);
  finish();
  // A tenth of a second's worth and one at once, then one each 10 ms.
  ASSERT_EQ(times.size(), 11u + 1000u);
  for (size_t i = 0; i < times.size(); ++i) {
    const Nanoseconds due = i < 11 ? Nanoseconds(0) : milliseconds(10) * (i - 10);
    ASSERT_EQ(times[i], due) << i;
  }
}

TEST_F(ThrottleGroupTest, AnAverageOfBytesIsKeptExactly) {
  // Request k passes at (k * 65536 - 104857.6) / 1048576 seconds.
  EXPECT_EQ(passed({{"bps-read", 1 << 20}}, kRead, 65536, seconds(10)), 162u);
}

TEST_F(ThrottleGroupTest, ABurstOfOneSecondComesAtOnceAndThenTheAverage) {
  EXPECT_EQ(passed({{"iops-write", 10}, {"iops-write-max", 50}}, kWrite, 512, seconds(5)),
            51u + 50u);
}

TEST_F(ThrottleGroupTest, ALongBurstRunsAtItsMaximumUntilItIsUsedUp) {
  limit({{"iops-total", 10}, {"iops-total-max", 100}, {"iops-total-max-length", 4}});
  Times times;
  for (unsigned i = 0; i < 8; ++i) stream(i, member(), kWrite, 512, seconds(20), times);
  finish();
  const auto within = [&](Nanoseconds end) {
    return std::count_if(times.begin(), times.end(), [&](Nanoseconds t) { return t <= end; });
  };
  EXPECT_EQ(within(seconds(1)), 11 + 100);
  EXPECT_EQ(within(seconds(4)), 11 + 400);
  // The bucket of 400 is full after some 4.3 s, since it leaks too; from then on 10 a second.
  EXPECT_EQ(within(seconds(5)), 401 + 50);
  EXPECT_EQ(within(seconds(20)), 401 + 200);
}

TEST_F(ThrottleGroupTest, RestEarnsANewBurst) {
  limit({{"iops-total", 10}, {"iops-total-max", 50}});
  Times times;
  stream(0, member(), kRead, 512, seconds(2), times);
  finish();
  ASSERT_EQ(times.size(), 51u + 20u);
  world_.advance(seconds(3));
  const Nanoseconds again = time();
  times.clear();
  stream(1, member(), kRead, 512, again, times);
  finish();
  // The one that found the first stream's end passed late; three seconds and its wait leaked 31.
  EXPECT_GE(times.size(), 30u);
  EXPECT_LE(times.size(), 32u);
}

TEST_F(ThrottleGroupTest, LongRequestsCountInProportionToTheSizeOfOperations) {
  EXPECT_EQ(passed({{"iops-total", 10}, {"iops-size", 4096}}, kRead, 8192, seconds(10)), 51u);
}

TEST_F(ThrottleGroupTest, ARequestOfOneAndAHalfSizesCountsOneAndAHalf) {
  EXPECT_EQ(passed({{"iops-total", 10}, {"iops-size", 4096}}, kRead, 6144, seconds(10)), 68u);
}

TEST_F(ThrottleGroupTest, AShortRequestCountsOne) {
  EXPECT_EQ(passed({{"iops-total", 10}, {"iops-size", 4096}}, kRead, 512, seconds(10)), 102u);
}

TEST_F(ThrottleGroupTest, TheTighterOfTwoLimitsCounts) {
  EXPECT_EQ(passed({{"iops-total", 1000}, {"bps-write", 5120}}, kWrite, 512, seconds(10)), 102u);
}

TEST_F(ThrottleGroupTest, ARequestLargerThanTheBucketPassesAndTheNextWaitsForIt) {
  limit({{"bps-total", 1000}});
  Times times;
  request(0, member(), kRead, times, 10'000);
  settle();
  request(1, member(), kWrite, times, 1);
  finish();
  EXPECT_EQ(times, (Times{Nanoseconds(0), milliseconds(9900)}));
}

TEST_F(ThrottleGroupTest, NodesShareEvenlyHoweverManyRequestsEachHas) {
  limit({{"iops-total", 100}});
  Times many;
  Times one;
  for (unsigned i = 0; i < 32; ++i) stream(i, member(0), kRead, 512, seconds(20), many);
  stream(1, member(1), kRead, 512, seconds(20), one);
  finish();
  EXPECT_EQ(many.size() + one.size(), 11u + 2000u);
  EXPECT_GE(one.size(), 985u);
  EXPECT_GE(many.size(), 985u);
}

TEST_F(ThrottleGroupTest, ReadsAndWritesShareATotalEvenly) {
  limit({{"bps-total", 1 << 20}});
  Times reads;
  Times writes;
  for (unsigned i = 0; i < 16; ++i) stream(i, member(), kRead, 4096, seconds(10), reads);
  stream(2, member(), kWrite, 4096, seconds(10), writes);
  finish();
  EXPECT_EQ(reads.size() + writes.size(), 2586u);
  EXPECT_GE(writes.size(), 1250u);
  EXPECT_GE(reads.size(), 1250u);
}

TEST_F(ThrottleGroupTest, ALimitOfReadsHoldsBackNoWrite) {
  limit({{"iops-read", 1}});
  Times reads;
  Times writes;
  for (unsigned i = 0; i < 4; ++i) request(i, member(), kRead, reads);
  for (unsigned i = 0; i < 40; ++i) request(i, member(), kWrite, writes);
  finish();
  EXPECT_EQ(writes, Times(40, Nanoseconds(0)));
  EXPECT_EQ(reads.back(), milliseconds(2900));
}

TEST_F(ThrottleGroupTest, RequestsOfANodeGoInTheOrderInWhichTheyCame) {
  limit({{"iops-total", 10}});
  std::vector<int> order;
  for (int i = 0; i < 50; ++i) {
    spawn(static_cast<unsigned>(i), [&, i] {
      assert_in_coroutine();
      member().co_pass(kWrite, 512);
      order.push_back(i);
    });
    settle();
  }
  finish();
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
  EXPECT_EQ(order.size(), 50u);
}

TEST_F(ThrottleGroupTest, HigherLimitsLetWaitingRequestsGoSooner) {
  limit({{"iops-total", 1}});
  Times times;
  for (unsigned i = 0; i < 20; ++i) request(i, member(), kRead, times);
  settle();
  EXPECT_EQ(group_->waiting(), 19u);
  act([&] { group_->set_limits(parsed({{"iops-total", 100}})); });
  finish();
  // Eleven at once, then one each 10 ms.
  EXPECT_EQ(times.back(), milliseconds(80));
}

TEST_F(ThrottleGroupTest, LowerLimitsHoldBackWhatWaits) {
  limit({{"iops-total", 1000}});
  Times times;
  for (unsigned i = 0; i < 111; ++i) request(i, member(), kRead, times);
  settle();
  EXPECT_EQ(times.size(), 101u);
  act([&] { group_->set_limits(parsed({{"iops-total", 1}})); });
  finish();
  // One at once from the empty bucket, then one a second.
  EXPECT_EQ(times.back(), milliseconds(8900));
}

TEST_F(ThrottleGroupTest, WithoutLimitsWaitingRequestsGoAtOnce) {
  limit({{"bps-write", 1}});
  Times times;
  for (unsigned i = 0; i < 20; ++i) request(i, member(), kWrite, times);
  settle();
  EXPECT_EQ(group_->waiting(), 19u);
  act([&] { group_->set_limits({}); });
  settle();
  EXPECT_EQ(times, Times(20, Nanoseconds(0)));
  finish();
}

TEST_F(ThrottleGroupTest, ARushLetsGoOneNodeOnlyAndIsCharged) {
  limit({{"iops-total", 1}});
  Times rushed;
  Times others;
  for (unsigned i = 0; i < 50; ++i) request(i, member(0), kRead, rushed);
  settle();
  request(1, member(1), kWrite, others);
  settle();
  act([&] { member(0).begin_rush(); });
  settle();
  request(2, member(0), kWrite, rushed);  // one that comes during the rush
  settle();
  EXPECT_EQ(rushed, Times(51, Nanoseconds(0)));
  EXPECT_EQ(group_->waiting(), 1u);
  act([&] { member(0).end_rush(); });
  finish();
  EXPECT_EQ(others, Times{milliseconds(50'900)});
  request(3, member(0), kRead, rushed);
  finish();
  EXPECT_EQ(rushed.back(), milliseconds(51'900));
}

TEST_F(ThrottleGroupTest, ATimekeeperThatGoesHandsTheClockOn) {
  limit({{"iops-total", 1}});
  Times first;
  Times second;
  request(0, member(0), kRead, first);
  request(0, member(0), kRead, first);
  settle();
  request(1, member(1), kRead, second);
  settle();
  // The timekeeper is of the node that rushes.
  act([&] { member(0).begin_rush(); });
  act([&] { member(0).end_rush(); });
  finish();
  EXPECT_EQ(first.size(), 2u);
  EXPECT_EQ(second, Times{milliseconds(1900)});
}

TEST_F(ThrottleGroupTest, EverySeedEndsWithoutAStuckRequest) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    FakeWorld world(kContexts, seed);
    const auto group = std::make_shared<ThrottleGroup>(
        "g", parsed({{"iops-total", 200}, {"bps-read", 1 << 20}, {"iops-size", 4096}}));
    ThrottleMember a(group, "a");
    ThrottleMember b(group, "b");
    int running = 0;
    const auto start = [&](unsigned context, std::function<void()> function) {
      ++running;
      world.context(context).spawn("test", [&running, function = std::move(function)] {
        function();
        --running;
      });
    };
    const auto pick = [&](unsigned below) {
      return static_cast<unsigned>(world.random()() % below);
    };
    for (unsigned i = 0; i < 16; ++i) {
      start(i % kContexts, [&, i] {
        assert_in_coroutine();
        for (int round = 0; round < 30; ++round) {
          (i % 2 == 0 ? a : b).co_pass(pick(2) == 0 ? kRead : kWrite, 1 + pick(20'000));
          if (pick(4) == 0) co_pause();
        }
      });
    }
    start(0, [&] {
      assert_in_coroutine();
      for (int round = 0; round < 20; ++round) {
        ThrottleMember& member = pick(2) == 0 ? a : b;
        member.begin_rush();
        for (unsigned pauses = pick(5); pauses > 0; --pauses) co_pause();
        member.end_rush();
        co_sleep(milliseconds(pick(100)));
        if (pick(3) == 0) group->set_limits(parsed({{"iops-read", 10 + pick(500)}}));
        if (pick(3) == 0) group->set_limits(parsed({{"bps-total", 1 << 20}}));
      }
    });
    ASSERT_TRUE(world.run_until([&] { return running == 0; })) << "seed " << seed;
    EXPECT_EQ(group->waiting(), 0u);
  }
}

}  // namespace
}  // namespace penstock
