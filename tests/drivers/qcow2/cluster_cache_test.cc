// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>

#include "base/status.h"
#include "drivers/qcow2/qcow2_byte_budget.h"
#include "drivers/qcow2/qcow2_cluster_cache.h"
#include "iothreads/coroutine.h"
#include "iothreads/iothread.h"
#include "iothreads/run_sync.h"
#include "tests/drivers/qcow2/compress_cluster.h"

namespace penstock {
namespace {

constexpr uint64_t kClusterSize = 4096;
constexpr uint64_t kKeptSize = kClusterSize + Qcow2KeptClusters::kEntryCost;

// A reader's memory and the piece that names it.
struct Reader {
  Reader(uint64_t descriptor, uint64_t offset, uint64_t length)
      : memory(length), segment(iovec_of(std::span(memory))) {
    piece = {descriptor, offset, IoVector(segment)};
  }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  Bytes memory;
  iovec segment;
  Qcow2CompressedPiece piece;
};

AlignedBuffer buffer_of(const Bytes& bytes) {
  AlignedBuffer buffer(bytes.size(), kQcow2ClusterAlignment);
  std::ranges::copy(bytes, buffer.data());
  return buffer;
}

void land_in_buffer(Qcow2ClusterCache& cache, Qcow2ClusterCache::Flight& flight,
                    const Bytes& bytes) {
  AlignedBuffer buffer = buffer_of(bytes);
  const auto span = buffer.span();
  cache.land(flight, absl::OkStatus(), span, std::move(buffer));
}

// Reads a part of a cluster that must not be in the cache.
void bring_in(Qcow2ClusterCache& cache, uint64_t descriptor) {
  Reader reader(descriptor, 0, 1);
  const auto found = cache.find(reader.piece);
  ASSERT_TRUE(found.leads) << descriptor;
  land_in_buffer(cache, *found.flight, compressible(kClusterSize, descriptor));
}

bool is_kept(Qcow2ClusterCache& cache, uint64_t descriptor) {
  Reader reader(descriptor, 0, 1);
  const auto found = cache.find(reader.piece);
  if (found.leads) cache.land(*found.flight, errno_message(EIO, "not wanted"), {}, {});
  return found.cluster != nullptr;
}

absl::Status wait_landed(Qcow2ClusterCache::Flight& flight) {
  auto thread = IoThread::start("test");
  EXPECT_TRUE(thread.ok());
  return run_sync((*thread)->context(), [&] {
    assert_in_coroutine();
    return flight.co_wait_landed();
  });
}

TEST(ClusterCache, GivesEveryReaderOfAFlightItsBytes) {
  Qcow2KeptClusters memory(4 * kKeptSize);
  Qcow2ClusterCache cache(memory, kClusterSize);
  const Bytes data = compressible(kClusterSize, 1);
  Reader leader(7, 0, 512);
  Reader joiner(7, 1000, 300);
  Reader whole(7, 0, kClusterSize);
  const auto led = cache.find(leader.piece);
  ASSERT_TRUE(led.leads);
  const auto joined = cache.find(joiner.piece);
  EXPECT_FALSE(joined.leads);
  EXPECT_EQ(joined.flight, led.flight);
  EXPECT_FALSE(cache.find(whole.piece).leads);

  land_in_buffer(cache, *led.flight, data);
  EXPECT_TRUE(wait_landed(*joined.flight).ok());
  EXPECT_EQ(leader.memory, Bytes(data.begin(), data.begin() + 512));
  EXPECT_EQ(joiner.memory, Bytes(data.begin() + 1000, data.begin() + 1300));
  EXPECT_EQ(whole.memory, data);

  const auto again = cache.find(joiner.piece);
  ASSERT_NE(again.cluster, nullptr);
  EXPECT_TRUE(std::ranges::equal(again.cluster->span(), data));
}

TEST(ClusterCache, ServesJoinersFromTheLeadersOwnMemory) {
  Qcow2KeptClusters memory(4 * kKeptSize);
  Qcow2ClusterCache cache(memory, kClusterSize);
  const Bytes data = compressible(kClusterSize, 2);
  Reader leader(7, 0, kClusterSize);
  Reader joiner(7, 4000, 96);
  const auto led = cache.find(leader.piece);
  const auto joined = cache.find(joiner.piece);
  std::ranges::copy(data, leader.memory.begin());
  cache.land(*led.flight, absl::OkStatus(), leader.memory, {});
  EXPECT_TRUE(wait_landed(*joined.flight).ok());
  EXPECT_EQ(joiner.memory, Bytes(data.begin() + 4000, data.end()));
  // The joiner wanted a part, so the rest is kept for it.
  const auto kept = cache.find(joiner.piece);
  ASSERT_NE(kept.cluster, nullptr);
  EXPECT_TRUE(std::ranges::equal(kept.cluster->span(), data));
}

TEST(ClusterCache, DoesNotKeepWhatWasReadWhole) {
  Qcow2KeptClusters memory(4 * kKeptSize);
  Qcow2ClusterCache cache(memory, kClusterSize);
  Reader direct(1, 0, kClusterSize);
  cache.land(*cache.find(direct.piece).flight, absl::OkStatus(), direct.memory, {});
  Reader buffered(2, 0, kClusterSize);
  land_in_buffer(cache, *cache.find(buffered.piece).flight, compressible(kClusterSize, 2));
  EXPECT_EQ(buffered.memory, compressible(kClusterSize, 2));
  EXPECT_EQ(cache.size(), 0u);
}

TEST(ClusterCache, GivesJoinersTheLeadersErrorAndKeepsNothing) {
  Qcow2KeptClusters memory(4 * kKeptSize);
  Qcow2ClusterCache cache(memory, kClusterSize);
  Reader leader(7, 0, 512);
  Reader joiner(7, 512, 512);
  const auto led = cache.find(leader.piece);
  const auto joined = cache.find(joiner.piece);
  cache.land(*led.flight, errno_message(EIO, "damaged"), {}, {});
  EXPECT_EQ(status_errno(wait_landed(*joined.flight)), EIO);
  EXPECT_EQ(joiner.memory, Bytes(512));
  EXPECT_TRUE(cache.find(leader.piece).leads);
}

TEST(ClusterCache, DropsTheLeastRecentlyUsed) {
  Qcow2KeptClusters memory(3 * kKeptSize);
  Qcow2ClusterCache cache(memory, kClusterSize);
  for (uint64_t descriptor : {1, 2, 3}) bring_in(cache, descriptor);
  EXPECT_TRUE(is_kept(cache, 1));
  bring_in(cache, 4);
  EXPECT_EQ(cache.size(), 3u);
  EXPECT_FALSE(is_kept(cache, 2));
  for (uint64_t descriptor : {1, 3, 4}) EXPECT_TRUE(is_kept(cache, descriptor)) << descriptor;
}

TEST(ClusterCache, KeepsNothingThatTheLimitHasNoRoomFor) {
  Qcow2KeptClusters memory(kKeptSize - 1);
  Qcow2ClusterCache cache(memory, kClusterSize);
  bring_in(cache, 1);
  EXPECT_FALSE(is_kept(cache, 1));
  EXPECT_EQ(memory.bytes(), 0u);
}

TEST(ClusterCache, AllCachesShareOneLimitAndTheOldestGoesFirst) {
  Qcow2KeptClusters memory(3 * kKeptSize);
  Qcow2ClusterCache first(memory, kClusterSize);
  {
    Qcow2ClusterCache second(memory, kClusterSize);
    bring_in(first, 1);
    bring_in(first, 2);
    bring_in(second, 1);
    EXPECT_TRUE(is_kept(first, 1));
    bring_in(second, 2);
    EXPECT_FALSE(is_kept(first, 2));
    for (Qcow2ClusterCache* cache : {&first, &second}) EXPECT_TRUE(is_kept(*cache, 1));
    EXPECT_EQ(first.size(), 1u);
    EXPECT_EQ(second.size(), 2u);
    EXPECT_EQ(memory.bytes(), 3 * kKeptSize);
  }
  // What an image kept goes with it.
  EXPECT_EQ(memory.bytes(), kKeptSize);
  EXPECT_TRUE(is_kept(first, 1));
}

TEST(ByteBudget, ServesInTheOrderOfComing) {
  auto thread = IoThread::start("test");
  ASSERT_TRUE(thread.ok());
  AioContext& context = (*thread)->context();
  Qcow2ByteBudget budget(100);
  std::vector<int> served;
  run_sync(context, [&] {
    assert_in_coroutine();
    budget.co_take(60);
    const auto spawn_taker = [&](int name, uint64_t bytes) {
      assert_in_coroutine();
      context.spawn("taker", [&, name, bytes] {
        assert_in_coroutine();
        budget.co_take(bytes);
        served.push_back(name);
      });
      co_pause();
    };
    spawn_taker(1, 90);
    spawn_taker(2, 10);  // would fit, but came later
    spawn_taker(3, 100);
    EXPECT_TRUE(served.empty());
    budget.give_back(60);
    co_pause();
    EXPECT_EQ(served, (std::vector<int>{1, 2}));
    budget.give_back(90);
    co_pause();
    EXPECT_EQ(served.size(), 2u);
    budget.give_back(10);
    co_pause();
    EXPECT_EQ(served, (std::vector<int>{1, 2, 3}));
    budget.give_back(100);
  });
  EXPECT_EQ(budget.peak(), 100u);
}

}  // namespace
}  // namespace penstock
