// SPDX-License-Identifier: Apache-2.0
#include "drivers/throttle/token_bucket.h"

#include <gtest/gtest.h>

namespace penstock {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

constexpr Nanoseconds kStart = hours(5);

TEST(TokenBucket, WithoutALimitIsAlwaysReady) {
  TokenBucket bucket;
  bucket.charge(1e18, kStart);
  EXPECT_LE(bucket.ready_at(), kStart);
}

TEST(TokenBucket, WithoutBurstsHoldsATenthOfASecond) {
  TokenBucket bucket({.average = 100});
  for (int i = 0; i < 11; ++i) {
    EXPECT_LE(bucket.ready_at(), kStart) << i;
    bucket.charge(1, kStart);
  }
  EXPECT_EQ(bucket.ready_at(), kStart + milliseconds(10));
}

TEST(TokenBucket, WithABurstOfOneSecondTakesItAtOnce) {
  TokenBucket bucket({.average = 10, .maximum = 50});
  for (int i = 0; i < 51; ++i) {
    EXPECT_LE(bucket.ready_at(), kStart) << i;
    bucket.charge(1, kStart);
  }
  EXPECT_EQ(bucket.ready_at(), kStart + milliseconds(100));
}

TEST(TokenBucket, HoldsALongBurstToItsMaximum) {
  TokenBucket bucket({.average = 10, .maximum = 100, .length = 4});
  for (int i = 0; i < 11; ++i) bucket.charge(1, kStart);
  EXPECT_EQ(bucket.ready_at(), kStart + milliseconds(10));
}

TEST(TokenBucket, LetsARequestLargerThanItselfPassAndThenMakesUpForIt) {
  TokenBucket bucket({.average = 1000});
  EXPECT_LE(bucket.ready_at(), kStart);
  bucket.charge(10'000, kStart);
  EXPECT_EQ(bucket.ready_at(), kStart + milliseconds(9900));
}

TEST(TokenBucket, LosesNothingToRounding) {
  // A third of a second each, and far less than a nanosecond each.
  constexpr int kRequests = 300'000;
  for (const uint64_t rate : {uint64_t{3}, uint64_t{7}, kMaxThrottleValue}) {
    TokenBucket bucket({.average = rate});
    for (int i = 0; i < kRequests; ++i) bucket.charge(512, kStart);
    const double exact = 1e9 * 512 * kRequests / static_cast<double>(rate);
    const Nanoseconds time = bucket.ready_at() - (kStart - milliseconds(100));
    EXPECT_NEAR(static_cast<double>(time.count()), exact, exact * 1e-12 + 1) << rate;
  }
}

TEST(TokenBucket, ForgetsIdleTime) {
  TokenBucket bucket({.average = 100});
  bucket.charge(1, kStart);
  const Nanoseconds later = kStart + hours(3);
  for (int i = 0; i < 11; ++i) bucket.charge(1, later);
  EXPECT_EQ(bucket.ready_at(), later + milliseconds(10));
}

TEST(TokenBucket, BearsTheLargestDebts) {
  TokenBucket bucket({.average = 1, .maximum = kMaxThrottleValue});
  for (int i = 0; i < 100; ++i) bucket.charge(1e18, kStart);
  EXPECT_GT(bucket.ready_at(), kStart + hours(24 * 365));
}

TEST(TokenBucket, TakesAClockThatLagsOnAnotherThread) {
  TokenBucket bucket({.average = 10});
  bucket.charge(1, kStart);
  bucket.charge(1, kStart - milliseconds(5));
  EXPECT_EQ(bucket.ready_at(), kStart + milliseconds(100));
}

}  // namespace
}  // namespace penstock
