// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <deque>

#include "drivers/qcow2/qcow2_cache_share.h"

namespace penstock {
namespace {

TEST(Qcow2CacheShare, GivesTheFirstWhatTheyWantAndTheRestLess) {
  constexpr uint64_t kMiB = 1 << 20;
  std::deque<Qcow2CacheShare> shares;
  uint64_t sum = 0;
  for (unsigned i = 0; i < 1000; ++i) {
    sum += shares.emplace_back(12 * kMiB, 65536).bytes();
    EXPECT_GE(shares.back().bytes(), 65536u);
    EXPECT_EQ(shares.back().bytes() == 12 * kMiB, i < 3) << i;
  }
  EXPECT_LE(sum, 48 * kMiB + 1000 * 65536);
  shares.clear();
  EXPECT_EQ(Qcow2CacheShare(12 * kMiB, 65536).bytes(), 12 * kMiB);
  // What somebody insists on is had, however much it is.
  EXPECT_EQ(Qcow2CacheShare(1, 500 * kMiB).bytes(), 500 * kMiB);
}

}  // namespace
}  // namespace penstock
