// SPDX-License-Identifier: Apache-2.0
#include <endian.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstring>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "drivers/qcow2/qcow2_slice_pool.h"

namespace penstock {
namespace {

constexpr size_t kSlice = 512;

uint64_t value_at(uint64_t offset) { return (offset + 1) * 0x9e3779b97f4a7c15; }

std::vector<std::byte> slice_at(uint64_t offset) {
  std::vector<std::byte> bytes(kSlice);
  for (size_t i = 0; i < kSlice; i += 8) {
    const uint64_t word = htobe64(value_at(offset + i));
    std::memcpy(bytes.data() + i, &word, sizeof(word));
  }
  return bytes;
}

bool holds(Qcow2SlicePool& pool, uint64_t offset) {
  uint64_t word = 0;
  const bool found = pool.read(offset, {&word, 1});
  if (found) {
    EXPECT_EQ(word, value_at(offset));
  }
  return found;
}

TEST(SlicePool, AnswersWhatWasPutInAndNothingElse) {
  Qcow2SlicePool pool(kSlice, 16 * kSlice);
  EXPECT_FALSE(holds(pool, 0));
  pool.insert(0, slice_at(0));
  for (uint64_t offset = 0; offset < kSlice; offset += 8) EXPECT_TRUE(holds(pool, offset));
  EXPECT_FALSE(holds(pool, kSlice));
  // The same place in the pool, 2^32 slices further.
  EXPECT_FALSE(holds(pool, kSlice << 32));
}

TEST(SlicePool, TakesTheCapacityAskedForAndLittleMore) {
  for (const size_t slices : {16, 17, 64, 255, 1024}) {
    const Qcow2SlicePool pool(kSlice, slices * kSlice);
    EXPECT_GE(pool.capacity(), slices * kSlice);
    EXPECT_LT(pool.capacity(), (slices + 16) * kSlice);
  }
}

TEST(SlicePool, HoldsAdjoiningSlicesUpToItsCapacityWithoutEvictingAny) {
  Qcow2SlicePool pool(kSlice, 256 * kSlice);
  for (uint64_t i = 0; i < 256; ++i) EXPECT_FALSE(pool.insert(i * kSlice, slice_at(i * kSlice)));
  for (uint64_t i = 0; i < 256; ++i) EXPECT_TRUE(holds(pool, i * kSlice));
}

TEST(SlicePool, HoldsSlicesAtDistancesOfAPowerOfTwo) {
  for (const uint64_t distance : {16, 128, 4096}) {
    Qcow2SlicePool pool(kSlice, 256 * kSlice);
    for (uint64_t i = 0; i < 200; ++i) {
      const uint64_t offset = i * distance * kSlice;
      EXPECT_FALSE(pool.insert(offset, slice_at(offset))) << "distance " << distance;
    }
  }
}

TEST(SlicePool, KeepsASliceThatIsReadAgainAndAgainThroughAScan) {
  Qcow2SlicePool pool(kSlice, 16 * kSlice);
  pool.insert(0, slice_at(0));
  for (uint64_t i = 1; i < 1000; ++i) {
    ASSERT_TRUE(holds(pool, 0)) << "gone after " << i << " others";
    pool.insert(i * kSlice, slice_at(i * kSlice));
  }
}

TEST(SlicePool, FindsAPlaceWhenEverySliceWasRead) {
  Qcow2SlicePool pool(kSlice, 16 * kSlice);
  uint64_t evictions = 0;
  for (uint64_t i = 0; i < 1000; ++i) {
    evictions += pool.insert(i * kSlice, slice_at(i * kSlice)) ? 1 : 0;
    for (uint64_t j = 0; j <= i; ++j) holds(pool, j * kSlice);
    ASSERT_TRUE(holds(pool, i * kSlice));
  }
  EXPECT_EQ(evictions, 1000 - pool.capacity() / kSlice);
}

// One writer turns the whole pool over while readers copy several words at a time.
TEST(SlicePool, AReaderNeverSeesWordsOfTwoSlices) {
  Qcow2SlicePool pool(kSlice, 16 * kSlice);
  constexpr uint64_t kSlices = 40;
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> wrong{0};
  std::atomic<uint64_t> hits{0};
  std::vector<std::thread> readers;
  for (unsigned seed = 0; seed < 3; ++seed) {
    readers.emplace_back([&, seed] {
      std::mt19937_64 random(seed);
      std::array<uint64_t, 16> words;
      uint64_t found = 0;
      while (!stop.load()) {
        const uint64_t offset = random() % kSlices * kSlice + random() % 48 * 8;
        if (!pool.read(offset, words)) continue;
        ++found;
        for (size_t i = 0; i < words.size(); ++i) {
          if (words[i] != value_at(offset + 8 * i)) wrong.fetch_add(1);
        }
      }
      hits.fetch_add(found);
    });
  }
  std::mt19937_64 random(99);
  for (int i = 0; i < 50'000; ++i) {
    const uint64_t offset = random() % kSlices * kSlice;
    if (!holds(pool, offset)) pool.insert(offset, slice_at(offset));
  }
  stop.store(true);
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(wrong.load(), 0u);
  RecordProperty("hits", std::to_string(hits.load()));
}

}  // namespace
}  // namespace penstock
