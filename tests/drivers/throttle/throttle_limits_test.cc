// SPDX-License-Identifier: Apache-2.0
#include "drivers/throttle/throttle_limits.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "base/status.h"

namespace penstock {
namespace {

using nlohmann::json;
using enum ThrottleKind;

testing::AssertionResult is_refused(const json& object, const std::string& words) {
  const auto limits = throttle_limits_from_json(object, {});
  if (limits.ok()) return testing::AssertionFailure() << object << " was taken";
  if (status_errno(limits.status()) != EINVAL) return testing::AssertionFailure() << "errno";
  if (status_text(limits.status()).find(words) == std::string::npos) {
    return testing::AssertionFailure() << status_text(limits.status());
  }
  return testing::AssertionSuccess();
}

TEST(ThrottleLimits, TakeQemusNames) {
  const auto limits = throttle_limits_from_json({{"iops-total", 100},
                                                 {"iops-total-max", 2000},
                                                 {"iops-total-max-length", 60},
                                                 {"bps-read", 1 << 20},
                                                 {"bps-write", 1 << 21},
                                                 {"iops-size", 4096}},
                                                {});
  ASSERT_TRUE(limits.ok()) << limits.status();
  EXPECT_EQ(limits->rate(kIopsTotal), (ThrottleRate{100, 2000, 60}));
  EXPECT_EQ(limits->rate(kBpsRead), (ThrottleRate{1 << 20, 0, 1}));
  EXPECT_EQ(limits->rate(kBpsWrite), (ThrottleRate{1 << 21, 0, 1}));
  EXPECT_EQ(limits->rate(kIopsRead), ThrottleRate{});
  EXPECT_EQ(limits->iops_size, 4096u);
}

TEST(ThrottleLimits, AreWrittenAsTheyAreRead) {
  const auto limits = throttle_limits_from_json({{"iops-read", 5}, {"bps-total", 7}}, {});
  ASSERT_TRUE(limits.ok());
  const json all = throttle_limits_to_json(*limits);
  EXPECT_EQ(all.size(), 19u);
  EXPECT_EQ(all["iops-read"], 5);
  EXPECT_EQ(all["bps-total-max-length"], 1);
  EXPECT_EQ(*throttle_limits_from_json(all, {}), *limits);
}

TEST(ThrottleLimits, KeepWhatAChangeDoesNotName) {
  const auto before = throttle_limits_from_json({{"iops-total", 5}, {"bps-total", 7}}, {});
  const auto after = throttle_limits_from_json({{"bps-total", 0}}, *before);
  ASSERT_TRUE(after.ok());
  EXPECT_EQ(after->rate(kIopsTotal).average, 5u);
  EXPECT_EQ(after->rate(kBpsTotal).average, 0u);
}

TEST(ThrottleLimits, KnowTheirDirections) {
  ThrottleLimits limits;
  EXPECT_FALSE(limits.limits(ThrottleDirection::kRead));
  limits.rate(kBpsRead).average = 1;
  EXPECT_TRUE(limits.limits(ThrottleDirection::kRead));
  EXPECT_FALSE(limits.limits(ThrottleDirection::kWrite));
  limits.rate(kIopsTotal).average = 1;
  EXPECT_TRUE(limits.limits(ThrottleDirection::kWrite));
}

TEST(ThrottleLimits, RefuseNonsense) {
  EXPECT_TRUE(is_refused({{"iops-total", 1}, {"iops-read", 1}},
                         "'iops-total' and 'iops-read' cannot be used at the same time"));
  EXPECT_TRUE(is_refused({{"bps-total", 1}, {"bps-write", 1}},
                         "'bps-total' and 'bps-write' cannot be used at the same time"));
  EXPECT_TRUE(
      is_refused({{"iops-size", 4096}, {"bps-total", 1}}, "'iops-size' requires an iops value"));
  EXPECT_TRUE(is_refused({{"iops-total", 1'000'000'000'000'001}}, "[0, 1000000000000000]"));
  EXPECT_TRUE(is_refused({{"iops-total", 1}, {"iops-total-max-length", 0}}, "cannot be 0"));
  EXPECT_TRUE(
      is_refused({{"iops-total", 1}, {"iops-total-max-length", 2}}, "without 'iops-total-max'"));
  EXPECT_TRUE(is_refused(
      {{"iops-total", 1}, {"iops-total-max", 1'000'000'000'000'000}, {"iops-total-max-length", 2}},
      "too high"));
  EXPECT_TRUE(is_refused({{"bps-read-max", 5}}, "'bps-read-max' requires 'bps-read'"));
  EXPECT_TRUE(is_refused({{"bps-read", 9}, {"bps-read-max", 5}}, "cannot be lower"));
  EXPECT_TRUE(is_refused({{"iops-total", -1}}, "cannot be negative"));
  EXPECT_TRUE(is_refused({{"iops-total", "5"}}, "expected: integer"));
  EXPECT_TRUE(is_refused({{"iops-total", 1.5}}, "expected: integer"));
  EXPECT_TRUE(is_refused({{"iops", 5}}, "'iops' is unexpected"));
  EXPECT_TRUE(is_refused(json::array(), "an object"));
}

}  // namespace
}  // namespace penstock
