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
    sum += shares.emplace_back(4 * kMiB, 4096).bytes();
    EXPECT_GE(shares.back().bytes(), 4096u);
    EXPECT_EQ(shares.back().bytes() == 4 * kMiB, i < 2) << i;
  }
  EXPECT_LE(sum, 20 * kMiB + 1000 * 4096);
  shares.clear();
  EXPECT_EQ(Qcow2CacheShare(4 * kMiB, 4096).bytes(), 4 * kMiB);
  // What somebody insists on is had, however much it is.
  EXPECT_EQ(Qcow2CacheShare(1, 500 * kMiB).bytes(), 500 * kMiB);
}

}  // namespace
}  // namespace penstock
