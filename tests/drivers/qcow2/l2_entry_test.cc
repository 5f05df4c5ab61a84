// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cerrno>
#include <random>

#include "base/status.h"
#include "drivers/qcow2/qcow2_l2_entry.h"

namespace penstock {
namespace {

constexpr uint64_t kCluster = 65536;

Qcow2Geometry geometry(bool extended = false) {
  Qcow2Geometry result;
  result.extended_l2 = extended;
  return result;
}

void expect_extent(const absl::StatusOr<Qcow2Extent>& extent, Qcow2ExtentKind kind, uint64_t host,
                   uint64_t length) {
  ASSERT_TRUE(extent.ok()) << extent.status();
  EXPECT_EQ(extent->kind, kind);
  EXPECT_EQ(extent->host_offset, host);
  EXPECT_EQ(extent->length, length);
}

void expect_damaged(const Qcow2Geometry& where, Qcow2L2Entry entry) {
  EXPECT_EQ(status_errno(qcow2_extent(where, entry, 0).status()), EIO) << entry.descriptor;
}

TEST(Qcow2L2Entry, TellsTheKindsOfClusterApart) {
  using enum Qcow2ExtentKind;
  const Qcow2Geometry g = geometry();
  expect_extent(qcow2_extent(g, {0}, 100), kUnallocated, 0, kCluster - 100);
  expect_extent(qcow2_extent(g, {kQcow2Copied | 7 * kCluster}, 100), kData, 7 * kCluster + 100,
                kCluster - 100);
  expect_extent(qcow2_extent(g, {7 * kCluster}, kCluster - 1), kData, 8 * kCluster - 1, 1);
  expect_extent(qcow2_extent(g, {kQcow2ZeroFlag}, 0), kZero, 0, kCluster);
  expect_extent(qcow2_extent(g, {kQcow2ZeroFlag | 7 * kCluster}, 5), kZero, 7 * kCluster + 5,
                kCluster - 5);
  expect_extent(qcow2_extent(g, {kQcow2Compressed | 12345}, 5), kCompressed, 0, kCluster - 5);
  expect_extent(qcow2_extent(g, {kQcow2Copied}, 0), kUnallocated, 0, kCluster);
}

TEST(Qcow2L2Entry, TakesOffset0OfADataFileForAPlace) {
  Qcow2Geometry g = geometry();
  g.external_data = true;
  expect_extent(qcow2_extent(g, {kQcow2Copied}, 9), Qcow2ExtentKind::kData, 9, kCluster - 9);
  expect_extent(qcow2_extent(g, {0}, 9), Qcow2ExtentKind::kUnallocated, 0, kCluster - 9);
  expect_damaged(g, {kQcow2Compressed | 12345});
}

TEST(Qcow2L2Entry, RefusesWhatTheFormatForbids) {
  const Qcow2Geometry g = geometry();
  for (unsigned bit = 1; bit <= 8; ++bit) expect_damaged(g, {uint64_t{1} << bit | kCluster});
  for (unsigned bit = 9; bit < 16; ++bit) expect_damaged(g, {uint64_t{1} << bit});
  for (unsigned bit = 56; bit <= 61; ++bit) expect_damaged(g, {uint64_t{1} << bit | kCluster});
  Qcow2Geometry old = g;
  old.version = 2;
  expect_damaged(old, {kQcow2ZeroFlag});
  Qcow2Geometry small = g;
  small.cluster_bits = 9;
  expect_damaged(small, {kQcow2Compressed | uint64_t{1} << 56});
  EXPECT_TRUE(qcow2_extent(small, {kQcow2Compressed | uint64_t{1} << 55}, 0).ok());
}

TEST(Qcow2L2Entry, FollowsRunsOfSubclusters) {
  using enum Qcow2ExtentKind;
  const Qcow2Geometry g = geometry(true);
  constexpr uint64_t kSub = 2048;
  // Subclusters 0-3 data, 4-5 zero, 6 nothing, 7 data, 8-30 nothing, 31 zero.
  const Qcow2L2Entry entry{7 * kCluster, 0x8000003000000000 | 0x8f};
  expect_extent(qcow2_extent(g, entry, 0), kData, 7 * kCluster, 4 * kSub);
  expect_extent(qcow2_extent(g, entry, 3 * kSub + 1), kData, 7 * kCluster + 3 * kSub + 1, kSub - 1);
  expect_extent(qcow2_extent(g, entry, 4 * kSub), kZero, 7 * kCluster + 4 * kSub, 2 * kSub);
  expect_extent(qcow2_extent(g, entry, 6 * kSub + 2), kUnallocated, 0, kSub - 2);
  expect_extent(qcow2_extent(g, entry, 7 * kSub), kData, 7 * kCluster + 7 * kSub, kSub);
  expect_extent(qcow2_extent(g, entry, 8 * kSub), kUnallocated, 0, 23 * kSub);
  expect_extent(qcow2_extent(g, entry, kCluster - 1), kZero, 8 * kCluster - 1, 1);
  expect_extent(qcow2_extent(g, {kCluster, 0xffffffff}, 0), kData, kCluster, kCluster);
  expect_extent(qcow2_extent(g, {0, 0xffffffff00000000}, 0), kZero, 0, kCluster);
  expect_extent(qcow2_extent(g, {kQcow2Compressed | 5, 0}, 1), kCompressed, 0, kCluster - 1);
}

TEST(Qcow2L2Entry, RefusesSubclustersThatCannotBe) {
  const Qcow2Geometry g = geometry(true);
  expect_damaged(g, {kCluster, 0x100000001});
  expect_damaged(g, {0, 1});
  expect_damaged(g, {kCluster | kQcow2ZeroFlag, 0});
}

TEST(Qcow2L2Entry, ReadsTheSubclustersBesideADamagedOne) {
  const Qcow2Geometry g = geometry(true);
  constexpr uint64_t kSub = 2048;
  // Subclusters 0-2 data, 1 zero as well, 3 zero.
  const Qcow2L2Entry entry{kCluster, 0xa00000007};
  expect_extent(qcow2_extent(g, entry, 0), Qcow2ExtentKind::kData, kCluster, kSub);
  EXPECT_EQ(status_errno(qcow2_extent(g, entry, kSub).status()), EIO);
  expect_extent(qcow2_extent(g, entry, 2 * kSub), Qcow2ExtentKind::kData, kCluster + 2 * kSub,
                kSub);
  expect_extent(qcow2_extent(g, entry, 3 * kSub), Qcow2ExtentKind::kZero, kCluster + 3 * kSub,
                kSub);
}

TEST(Qcow2L2Entry, FindsCompressedBytes) {
  const Qcow2Geometry g = geometry();
  // Clusters of 64 KiB: 54 bits of offset, 8 of sectors.
  const auto range = qcow2_compressed_range(g, kQcow2Compressed | uint64_t{3} << 54 | 1000);
  EXPECT_EQ(range.offset, 1000u);
  EXPECT_EQ(range.size, 4 * 512u - 1000 % 512);
  Qcow2Geometry large = g;
  large.cluster_bits = 21;
  const auto longest = qcow2_compressed_range(large, UINT64_MAX);
  EXPECT_EQ(longest.offset, (uint64_t{1} << 49) - 1);
  EXPECT_EQ(longest.size, 8192u * 512 - 511);
  Qcow2Geometry small = g;
  small.cluster_bits = 9;
  EXPECT_EQ(qcow2_compressed_range(small, kQcow2Compressed | uint64_t{1} << 61).size, 1024u);
}

TEST(Qcow2L2Entry, NeverAnswersPastTheClusterWhateverTheEntry) {
  std::mt19937_64 random(3);
  for (unsigned round = 0; round < 20'000; ++round) {
    Qcow2Geometry g;
    g.extended_l2 = random() % 2 == 0;
    g.cluster_bits = static_cast<unsigned>((g.extended_l2 ? 14 : 9) + random() % 8);
    g.external_data = random() % 4 == 0;
    const uint64_t offset = random() % g.cluster_size();
    // Few bits, so that many entries are sound.
    const Qcow2L2Entry entry{random() & random() & random(), random() & random() & random()};
    const auto extent = qcow2_extent(g, entry, offset);
    if (!extent.ok()) continue;
    EXPECT_GT(extent->length, 0u);
    EXPECT_LE(offset + extent->length, g.cluster_size());
    EXPECT_LT(extent->host_offset, uint64_t{1} << 56);
  }
}

}  // namespace
}  // namespace penstock
