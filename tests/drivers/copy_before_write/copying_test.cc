// SPDX-License-Identifier: Apache-2.0
// What is copied when, and who waits for it.
#include <atomic>
#include <cerrno>

#include "iothreads/co_event.h"
#include "tests/drivers/copy_before_write/snapshot_fixture.h"

namespace penstock {
namespace {

class CopyBeforeWrite : public SnapshotFixture {};

TEST_F(CopyBeforeWrite, AWriteCopiesTheClustersThatItTouchesOnce) {
  start();
  const Bytes data = pattern(100, 2);
  expect_ok(world_.write(*backend_, kCluster - 50, data));
  expect_copied({0, 1});
  EXPECT_EQ(world_.read(*backend_, kCluster - 50, 100), data);
  EXPECT_EQ(disk_file_.read(kCluster - 50, 100), data);
  expect_ok(world_.write(*backend_, 10, data));
  expect_ok(world_.write(*backend_, kCluster + 10, data));
  expect_copied({0, 1});
  EXPECT_EQ(target_->count("write_aio"), 1u);
  EXPECT_EQ(filter_->remaining_bytes(), kSize - 2 * kCluster);
}

TEST_F(CopyBeforeWrite, TheLastClusterEndsWithTheDisk) {
  start();
  expect_ok(world_.write(*backend_, kSize - 1, pattern(1, 2)));
  expect_copied({16});
  EXPECT_EQ(filter_->remaining_bytes(), 16 * kCluster);
}

TEST_F(CopyBeforeWrite, ZeroingAndDiscardingCountAsWrites) {
  start();
  expect_ok(world_.write_zeroes(*backend_, {3 * kCluster + 10, 10}));
  expect_copied({3});
  expect_ok(world_.discard(*backend_, {5 * kCluster, 2 * kCluster}));
  expect_copied({3, 5, 6});
}

TEST_F(CopyBeforeWrite, ReadsAndFlushesCopyNothing) {
  start();
  EXPECT_EQ(world_.read(*backend_, 0, kSize), old_);
  expect_ok(world_.flush(*backend_));
  expect_copied({});
  EXPECT_EQ(filter_->remaining_bytes(), kSize);
}

TEST_F(CopyBeforeWrite, ALongWriteCopiesAllOfIt) {
  start();
  expect_ok(world_.write(*backend_, 1, pattern(kSize - 2, 3)));
  EXPECT_EQ(target_file_.read(0, kSize), old_);
  EXPECT_EQ(filter_->remaining_bytes(), 0u);
}

TEST_F(CopyBeforeWrite, ClustersOfZeroesAreWrittenAsZeroes) {
  disk_file_.truncate(0);
  disk_file_.truncate(kSize);
  disk_file_.write(4 * kCluster + 8192, pattern(4096, 1));
  target_file_.write(0, pattern(kSize, 9));  // left over from something else
  start();
  uint64_t copied = 0;
  expect_ok(copy({0, kSize}, &copied));
  EXPECT_EQ(copied, kCluster);
  EXPECT_EQ(target_->count("write_aio"), 1u);
  EXPECT_GE(target_->count("write_zeroes"), 1u);
  Bytes expected(kSize);
  std::ranges::copy(pattern(4096, 1), expected.begin() + 4 * kCluster + 8192);
  EXPECT_EQ(target_file_.read(0, kSize), expected);
  EXPECT_FALSE(target_file_.data_pages()[0]) << "zeroes should be a hole";
}

TEST_F(CopyBeforeWrite, OneWriterCopiesTheOtherWaitsAndWhoHasNothingToCopyPasses) {
  start();
  expect_ok(world_.write(*backend_, 8 * kCluster, pattern(512, 2)));  // copied
  disk_->add_rule(parse_fault_rule("read_aio:suspend=held:offset=0:length=512").value());
  std::atomic<int> written{0};
  const auto writer = [&](uint64_t offset) {
    return [&, offset] {
      assert_in_coroutine();
      EXPECT_TRUE(co_write(*backend_, offset, pattern(512, 2)).ok());
      written.fetch_add(1);
    };
  };
  const auto watcher = [&] {
    assert_in_coroutine();
    disk_->co_wait_suspended("held");
    EXPECT_TRUE(co_write(*backend_, 8 * kCluster + 4096, pattern(512, 2)).ok());
    EXPECT_TRUE(co_write(*backend_, 2 * kCluster, pattern(512, 2)).ok());
    Bytes bytes(512);
    EXPECT_TRUE(co_read(*backend_, 4096, bytes).ok());
    EXPECT_EQ(written.load(), 0);
    EXPECT_EQ(disk_file_.read(0, kCluster), Bytes(old_.begin(), old_.begin() + kCluster));
    disk_->resume("held");
  };
  world_.run_all({writer(0), writer(1024), writer(4096), watcher});
  EXPECT_EQ(written.load(), 3);
  expect_copied({0, 2, 8});
  EXPECT_EQ(target_->count("write_aio"), 3u);
}

TEST_F(CopyBeforeWrite, ACopyOfTheRestWaitsForTheWriterThatIsAtIt) {
  start();
  disk_->add_rule(parse_fault_rule("read_aio:suspend=held").value());
  std::atomic<bool> copied{false};
  CoEvent comes;
  world_.run_all({[&] {
                    assert_in_coroutine();
                    EXPECT_TRUE(co_write(*backend_, 100, pattern(512, 2)).ok());
                  },
                  [&] {
                    assert_in_coroutine();
                    disk_->co_wait_suspended("held");
                    comes.set();
                    BackendRequest request(*backend_, "backup", 0, kCluster);
                    uint64_t moved = 1;
                    EXPECT_TRUE(filter_->co_copy({0, kCluster}, &moved).ok());
                    EXPECT_EQ(moved, 0u);
                    copied.store(true);
                  },
                  [&] {
                    assert_in_coroutine();
                    comes.co_wait();
                    co_pause();
                    EXPECT_FALSE(copied.load());
                    disk_->resume("held");
                  }});
  expect_copied({0});
}

TEST_F(CopyBeforeWrite, TheRestIsFoundAndCopiedUntilNothingIsLeft) {
  start();
  expect_ok(world_.write(*backend_, 3 * kCluster, pattern(kCluster, 2)));
  uint64_t at = 0;
  uint64_t sum = 0;
  while (const auto next = filter_->next_uncopied(at, 5 * kCluster)) {
    EXPECT_LE(next->length, 5 * kCluster);
    uint64_t copied = 0;
    expect_ok(copy(*next, &copied));
    EXPECT_EQ(copied, next->length);
    sum += copied;
    at = next->end();
  }
  EXPECT_EQ(sum, kSize - kCluster);
  EXPECT_EQ(filter_->remaining_bytes(), 0u);
  EXPECT_EQ(target_file_.read(0, kSize), old_);
  EXPECT_EQ(world_.find("cbw")->driver->describe()["remaining"], 0);
}

TEST_F(CopyBeforeWrite, CuttingTheDiskOffCopiesWhatGoesAndGrowthIsNoConcernOfTheSnapshot) {
  start();
  expect_ok(world_.resize(*backend_, 10 * kCluster + 100));
  expect_copied({10, 11, 12, 13, 14, 15, 16});
  expect_ok(world_.resize(*backend_, 20 * kCluster));
  expect_ok(world_.write(*backend_, 17 * kCluster, pattern(2 * kCluster, 5)));
  expect_ok(world_.write(*backend_, 20 * kCluster, pattern(100, 5)));
  expect_copied({10, 11, 12, 13, 14, 15, 16});
  expect_ok(copy({0, 1 << 30}));
  EXPECT_EQ(target_file_.read(0, kSize), old_);
  EXPECT_EQ(disk_file_.size(), 20 * kCluster + 100);
}

TEST_F(CopyBeforeWrite, ADrainWaitsForCopyingAndNamesTheWriteThatHoldsItUp) {
  start();
  for (const char* node : {"cbw", "disk", "target"}) {
    disk_->add_rule(parse_fault_rule("read_aio:suspend=held").value());
    const uint64_t offset = filter_->next_uncopied(0, 1)->offset;
    world_.run_all({[&] {
                      assert_in_coroutine();
                      EXPECT_TRUE(co_write(*backend_, offset, pattern(512, 2)).ok());
                    },
                    [&] {
                      assert_in_coroutine();
                      disk_->co_wait_suspended("held");
                      DrainedSection section(world_.graph());
                      const auto late = section.co_begin({node}, std::chrono::milliseconds(20));
                      EXPECT_EQ(status_errno(late), ETIMEDOUT) << node;
                      EXPECT_NE(status_text(late).find("'write'"), std::string::npos)
                          << status_text(late);
                      disk_->resume("held");
                      EXPECT_TRUE(section.co_begin({node}).ok());
                      section.co_end();
                    }});
  }
  expect_copied({0, 1, 2});
}

}  // namespace
}  // namespace penstock
