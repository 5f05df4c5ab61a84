// SPDX-License-Identifier: Apache-2.0
#include "drivers/copy_before_write/copied_clusters.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <thread>
#include <vector>

#include "base/status.h"

namespace penstock {
namespace {

constexpr uint64_t kCluster = 65536;

void copy(CopiedClusters& clusters, ByteRange range) {
  while (true) {
    const auto turn = clusters.claim_first(range, 1 << 20);
    if (turn.claim == nullptr) return;
    ASSERT_TRUE(turn.mine);
    clusters.finish(*turn.claim);
  }
}

TEST(CopiedClusters, AnEmptySnapshotHasNothingToCopy) {
  CopiedClusters clusters(0, kCluster);
  EXPECT_EQ(clusters.remaining_bytes(), 0u);
  EXPECT_TRUE(clusters.all_copied({0, 1 << 20}));
  EXPECT_EQ(clusters.next_uncopied(0, 1 << 20), std::nullopt);
  EXPECT_EQ(clusters.claim_first({0, 4096}, 1 << 20).claim, nullptr);
}

TEST(CopiedClusters, WholeClustersAreClaimedAndTheLastEndsWithTheSnapshot) {
  CopiedClusters clusters(3 * kCluster + 10, kCluster);
  const auto first = clusters.claim_first({kCluster - 1, 2}, 1 << 20);
  EXPECT_TRUE(first.mine);
  EXPECT_EQ(first.claim->range, (ByteRange{0, 2 * kCluster}));
  clusters.finish(*first.claim);
  EXPECT_TRUE(clusters.all_copied({0, 2 * kCluster}));
  EXPECT_FALSE(clusters.all_copied({0, 2 * kCluster + 1}));
  EXPECT_EQ(clusters.remaining_bytes(), kCluster + 10);
  EXPECT_EQ(clusters.next_uncopied(0, 1 << 20), (ByteRange{2 * kCluster, kCluster + 10}));
  EXPECT_EQ(clusters.next_uncopied(0, 1), (ByteRange{2 * kCluster, kCluster}));
  EXPECT_EQ(clusters.next_uncopied(3 * kCluster, 1), (ByteRange{3 * kCluster, 10}));
  copy(clusters, {0, 1 << 30});
  EXPECT_EQ(clusters.remaining_bytes(), 0u);
  EXPECT_EQ(clusters.next_uncopied(0, 1), std::nullopt);
}

TEST(CopiedClusters, WhoComesSecondGetsTheClaimOfTheFirst) {
  CopiedClusters clusters(100 * kCluster, kCluster);
  const auto mine = clusters.claim_first({5 * kCluster, 1}, 1 << 20);
  const auto other = clusters.claim_first({5 * kCluster, 3 * kCluster}, 1 << 20);
  EXPECT_FALSE(other.mine);
  EXPECT_EQ(other.claim, mine.claim);
  // What lies in front of a claim ends where that begins.
  const auto before = clusters.claim_first({3 * kCluster, 10 * kCluster}, 1 << 20);
  EXPECT_TRUE(before.mine);
  EXPECT_EQ(before.claim->range, (ByteRange{3 * kCluster, 2 * kCluster}));
  clusters.finish(*before.claim);
  EXPECT_FALSE(mine.claim->ended.is_set());
  clusters.finish(*mine.claim);
  EXPECT_TRUE(mine.claim->ended.is_set());
}

TEST(CopiedClusters, AFailedClaimLeavesItsClustersToBeClaimedAgain) {
  CopiedClusters clusters(2 * kCluster, kCluster);
  const auto failed = clusters.claim_first({0, 1}, 1 << 20);
  failed.claim->outcome = errno_status(EIO, "a test");
  clusters.finish(*failed.claim);
  EXPECT_EQ(clusters.remaining_bytes(), 2 * kCluster);
  EXPECT_TRUE(clusters.claim_first({0, 1}, 1 << 20).mine);
}

TEST(CopiedClusters, WordsOfTheBitmapMeetWithoutGaps) {
  CopiedClusters clusters(200 * kCluster, kCluster);
  copy(clusters, {60 * kCluster, 8 * kCluster});
  EXPECT_TRUE(clusters.all_copied({60 * kCluster, 8 * kCluster}));
  EXPECT_FALSE(clusters.all_copied({59 * kCluster, 8 * kCluster}));
  EXPECT_FALSE(clusters.all_copied({60 * kCluster, 9 * kCluster}));
  copy(clusters, {0, 60 * kCluster});
  EXPECT_EQ(clusters.next_uncopied(0, kCluster), (ByteRange{68 * kCluster, kCluster}));
  EXPECT_EQ(clusters.next_uncopied(61 * kCluster, 1 << 30),
            (ByteRange{68 * kCluster, 132 * kCluster}));
}

TEST(CopiedClusters, ThreadsCopyEachClusterOnce) {
  constexpr uint64_t kClusters = 1000;
  CopiedClusters clusters(kClusters * kCluster, kCluster);
  std::vector<std::atomic<int>> copies(kClusters);
  std::vector<std::thread> threads;
  for (uint64_t i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      for (uint64_t step = 0; step < kClusters; ++step) {
        const ByteRange range{(step * 7 + i) % kClusters * kCluster, 3 * kCluster};
        const auto turn = clusters.claim_first(range, 2 * kCluster);
        if (turn.claim == nullptr || !turn.mine) continue;
        for (uint64_t at = turn.claim->range.offset; at < turn.claim->range.end(); at += kCluster) {
          copies[at / kCluster].fetch_add(1);
        }
        clusters.finish(*turn.claim);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const auto& count : copies) EXPECT_LE(count.load(), 1);
}

}  // namespace
}  // namespace penstock
