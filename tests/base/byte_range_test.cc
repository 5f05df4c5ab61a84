// SPDX-License-Identifier: Apache-2.0
#include "base/byte_range.h"

#include <gtest/gtest.h>

namespace penstock {
namespace {

constexpr uint64_t kMax = UINT64_MAX;

TEST(ByteRange, CheckedArithmeticNoticesOverflow) {
  EXPECT_EQ(checked_add(kMax - 1, 1), kMax);
  EXPECT_EQ(checked_add(kMax, 1), std::nullopt);
  EXPECT_EQ(checked_multiply(1ULL << 32, 1ULL << 31), 1ULL << 63);
  EXPECT_EQ(checked_multiply(1ULL << 32, 1ULL << 32), std::nullopt);
}

TEST(ByteRange, IsMadeOnlyWhereItsEndExists) {
  EXPECT_EQ(make_range(kMax, 0), (ByteRange{kMax, 0}));
  EXPECT_EQ(make_range(kMax - 5, 5), (ByteRange{kMax - 5, 5}));
  EXPECT_EQ(make_range(kMax - 5, 6), std::nullopt);
}

TEST(ByteRange, OverlapsAndContainsAreHalfOpen) {
  const ByteRange range{10, 10};
  EXPECT_TRUE(range.overlaps({19, 1}));
  EXPECT_FALSE(range.overlaps({20, 5}));
  EXPECT_FALSE(range.overlaps({0, 10}));
  EXPECT_TRUE(range.contains({10, 10}));
  EXPECT_TRUE(range.contains({12, 3}));
  EXPECT_FALSE(range.contains({12, 9}));
}

TEST(ByteRange, IntersectionIsTheCommonPart) {
  EXPECT_EQ(intersect({0, 10}, {5, 10}), (ByteRange{5, 5}));
  EXPECT_EQ(intersect({5, 10}, {0, 100}), (ByteRange{5, 10}));
  EXPECT_TRUE(intersect({0, 5}, {5, 5}).empty());
  EXPECT_TRUE(intersect({0, 5}, {50, 5}).empty());
}

TEST(ByteRange, AlignmentRoundsOutwards) {
  EXPECT_EQ(align_down(4097, 4096), 4096u);
  EXPECT_EQ(align_up(4097, 4096), 8192u);
  EXPECT_EQ(align_up(4096, 4096), 4096u);
  EXPECT_TRUE(is_aligned(0, 512));
  EXPECT_FALSE(is_aligned(513, 512));
  EXPECT_EQ(align_outwards({513, 1}, 512), (ByteRange{512, 512}));
  EXPECT_EQ(align_outwards({511, 2}, 512), (ByteRange{0, 1024}));
  EXPECT_EQ(align_outwards({512, 512}, 512), (ByteRange{512, 512}));
}

}  // namespace
}  // namespace penstock
