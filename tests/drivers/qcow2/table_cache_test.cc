// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <array>
#include <cerrno>

#include "drivers/qcow2/qcow2_table_cache.h"
#include "tests/drivers/qcow2/memory_image.h"

namespace penstock {
namespace {

constexpr size_t kSlice = 512;

uint64_t value_at(uint64_t offset) { return (offset + 1) * 0x9e3779b97f4a7c15; }

// A file of words that tell their offset.
class TableCacheTest : public ::testing::Test {
 protected:
  static constexpr uint64_t kFileSize = 256 * kSlice;

  TableCacheTest() : image_(kFileSize) {
    for (uint64_t offset = 0; offset < kFileSize; offset += 8) {
      image_.put(offset, value_at(offset));
    }
    image_.store();
  }

  // Words from `offset` on, in the current coroutine.
  absl::Status co_look(uint64_t offset, std::span<uint64_t> words) COROUTINE_CODE {
    return image_.in_flight([&] {
      assert_in_coroutine();
      return in_flight_read(offset, words);
    });
  }
  // One word that must be right.
  void co_expect(uint64_t offset) COROUTINE_CODE {
    uint64_t word = 0;
    const absl::Status status = co_look(offset, {&word, 1});
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_EQ(word, value_at(offset));
  }
  absl::StatusOr<uint64_t> look(uint64_t offset) {
    absl::StatusOr<uint64_t> result = absl::UnknownError("not run");
    run_in(world_, 0, [&] {
      assert_in_coroutine();
      uint64_t word = 0;
      const absl::Status status = co_look(offset, {&word, 1});
      if (status.ok()) {
        result = word;
      } else {
        result = status;
      }
    });
    return result;
  }
  // Holds the next read of the file that begins at `offset` until released_ is set.
  void hold_read_of(uint64_t offset) {
    image_.memory().before_read = [this, offset](ByteRange range) {
      assert_in_coroutine();
      if (range.offset == offset) released_.co_wait();
      return absl::OkStatus();
    };
  }

  MemoryImage image_;
  Qcow2TableCache cache_{image_.file(), kSlice, 16 * kSlice};
  CoEvent released_;
  FakeWorld world_{2, 1};

 private:
  absl::Status in_flight_read(uint64_t offset,
                              std::span<uint64_t> words) NO_THREAD_SAFETY_ANALYSIS {
    return cache_.co_read(offset, words);
  }
};

TEST_F(TableCacheTest, ReadsASliceOnce) {
  uint64_t word = 0;
  EXPECT_FALSE(cache_.try_read(1024, {&word, 1}));
  for (uint64_t offset = 1024; offset < 1024 + kSlice; offset += 8) {
    EXPECT_EQ(*look(offset), value_at(offset));
  }
  EXPECT_EQ(image_.memory().reads.load(), 1u);
  EXPECT_EQ(cache_.statistics().misses.load(), 1u);
  std::array<uint64_t, 64> words{};
  EXPECT_TRUE(cache_.try_read(1024, words));
  for (size_t i = 0; i < words.size(); ++i) EXPECT_EQ(words[i], value_at(1024 + 8 * i));
}

TEST_F(TableCacheTest, ReadsAgainWhatItHadToDrop) {
  for (int round = 0; round < 2; ++round) {
    for (uint64_t offset = 0; offset < kFileSize; offset += kSlice) {
      EXPECT_EQ(*look(offset), value_at(offset));
    }
  }
  EXPECT_EQ(image_.memory().reads.load(), cache_.statistics().misses.load());
  EXPECT_GT(cache_.statistics().misses.load(), 256u);
  // What is left is within the capacity, rounded up.
  EXPECT_LT(cache_.statistics().misses.load() - cache_.statistics().evictions.load(), 32u);
}

TEST_F(TableCacheTest, AFailureIsToldAndNotKept) {
  image_.memory().before_read = [](ByteRange) { return errno_status(ENOLINK, "the disk"); };
  EXPECT_EQ(status_errno(look(0).status()), ENOLINK);
  image_.memory().before_read = nullptr;
  EXPECT_EQ(*look(0), value_at(0));
}

TEST_F(TableCacheTest, RequestsThatMissTheSameSliceShareOneRead) {
  hold_read_of(0);
  std::vector<std::shared_ptr<bool>> done;
  for (unsigned i = 0; i < 16; ++i) {
    done.push_back(start_in(world_.context(i % 2), [this, i] {
      assert_in_coroutine();
      co_expect(8 * i);
    }));
  }
  settle(world_);
  for (const auto& one : done) EXPECT_FALSE(*one);
  released_.set();
  settle(world_);
  for (const auto& one : done) EXPECT_TRUE(*one);
  EXPECT_EQ(image_.memory().reads.load(), 1u);
}

TEST_F(TableCacheTest, RequestsThatShareAReadShareItsFailure) {
  image_.memory().before_read = [this](ByteRange) {
    assert_in_coroutine();
    released_.co_wait();
    return errno_status(ENOLINK, "the disk");
  };
  unsigned failures = 0;
  for (unsigned i = 0; i < 4; ++i) {
    start_in(world_.context(i % 2), [this, i, &failures] {
      assert_in_coroutine();
      uint64_t word = 0;
      if (status_errno(co_look(8 * i, {&word, 1})) == ENOLINK) ++failures;
    });
  }
  settle(world_);
  released_.set();
  settle(world_);
  EXPECT_EQ(failures, 4u);
  EXPECT_EQ(image_.memory().reads.load(), 1u);
}

TEST_F(TableCacheTest, HitsCompleteWhileAMissIsHeld) {
  EXPECT_TRUE(look(kSlice).ok());
  hold_read_of(0);
  const auto missed = start_in(world_.context(0), [this] {
    assert_in_coroutine();
    co_expect(0);
  });
  settle(world_);
  for (unsigned context = 0; context < 2; ++context) {
    run_in(world_, context, [this] {
      assert_in_coroutine();
      for (uint64_t i = 0; i < 10'000; ++i) co_expect(kSlice + 8 * (i % 64));
    });
  }
  EXPECT_FALSE(*missed);
  EXPECT_EQ(image_.memory().reads.load(), 2u);
  released_.set();
  settle(world_);
  EXPECT_TRUE(*missed);
}

TEST_F(TableCacheTest, OtherMissesCompleteWhileAMissIsHeld) {
  hold_read_of(0);
  const auto missed = start_in(world_.context(0), [this] {
    assert_in_coroutine();
    co_expect(0);
  });
  settle(world_);
  // Enough of them to turn the pool over.
  for (uint64_t offset = kSlice; offset < kFileSize; offset += kSlice) {
    EXPECT_EQ(*look(offset), value_at(offset));
  }
  EXPECT_FALSE(*missed);
  released_.set();
  settle(world_);
  EXPECT_TRUE(*missed);
}

TEST_F(TableCacheTest, WordsPastTheEndOfTheFileAreZeroInTheSliceThatHasItsEnd) {
  image_.file().node->set_size(kFileSize - 24);
  std::array<uint64_t, 4> words{};
  run_in(world_, 0, [&] {
    assert_in_coroutine();
    EXPECT_TRUE(co_look(kFileSize - 32, words).ok());
  });
  EXPECT_THAT(words, ::testing::ElementsAre(value_at(kFileSize - 32), 0, 0, 0));
}

TEST_F(TableCacheTest, ASliceThatBeginsPastTheEndIsAnError) {
  for (const uint64_t offset : {kFileSize, kFileSize + 8, uint64_t{1} << 55}) {
    const auto word = look(offset);
    EXPECT_EQ(status_errno(word.status()), EIO);
    EXPECT_THAT(status_text(word.status()), ::testing::HasSubstr("past the end of the file"));
  }
  EXPECT_EQ(image_.memory().reads.load(), 0u);
}

// Threads that look up far more slices than there is room for.
TEST_F(TableCacheTest, ThreadsThatEvictEachOthersSlicesSeeRightWords) {
  constexpr unsigned kLookups = 20'000;
  // Some reads take turns with other coroutines of their thread.
  std::atomic<unsigned> reads{0};
  image_.memory().before_read = [&](ByteRange) {
    assert_in_coroutine();
    if (reads.fetch_add(1) % 4 == 0) co_pause();
    return absl::OkStatus();
  };
  std::atomic<unsigned> wrong{0};
  TestThreads threads(4);
  threads.run(8, [&](unsigned seed) {
    assert_in_coroutine();
    std::mt19937_64 random(seed);
    std::array<uint64_t, 8> words;
    for (unsigned i = 0; i < kLookups; ++i) {
      // Half of the lookups go to a few slices, so that there are hits.
      const uint64_t slice = random() % (i % 2 == 0 ? 10 : 256);
      const uint64_t offset = slice * kSlice + random() % 57 * 8;
      if (!co_look(offset, words).ok()) wrong.fetch_add(1);
      for (size_t j = 0; j < words.size(); ++j) {
        if (words[j] != value_at(offset + 8 * j)) wrong.fetch_add(1);
      }
    }
  });
  EXPECT_EQ(wrong.load(), 0u);
  EXPECT_GT(cache_.statistics().evictions.load(), 0u);
  EXPECT_LT(cache_.statistics().misses.load(), 8 * kLookups);
}

}  // namespace
}  // namespace penstock
