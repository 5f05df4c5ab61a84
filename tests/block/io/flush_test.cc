// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <atomic>
#include <cerrno>
#include <memory>

#include "iothreads/co_event.h"
#include "tests/block/block_test_support.h"
#include "tests/block/memory_driver.h"
#include "tests/block/test_graph.h"

namespace penstock {
namespace {

class FlushTest : public ::testing::Test {
 protected:
  static constexpr uint64_t kSize = 64 * 512;
  FlushTest() {
    auto driver = std::make_unique<MemoryDriver>(kSize);
    driver_ = driver.get();
    node_ = &graph_.add_node("disk", std::move(driver), kSize);
    backend_ = &graph_.add_backend(*node_);
  }

  TestGraph graph_;
  MemoryDriver* driver_ = nullptr;
  Node* node_ = nullptr;
  Backend* backend_ = nullptr;
};

TEST_F(FlushTest, NothingWrittenSinceTheLastOneNeedsNoDeviceFlush) {
  FakeWorld world(1, 1);
  run_in(world, 0, [this] {
    assert_in_coroutine();
    EXPECT_TRUE(co_flush_backend(*backend_).ok());
    EXPECT_EQ(driver_->flushes, 1u) << "the first one covers what came before the node";
    EXPECT_TRUE(co_flush_backend(*backend_).ok());
    EXPECT_EQ(driver_->flushes, 1u);
    EXPECT_TRUE(co_write_bytes(*backend_, 0, filled(8, 1)).ok());
    EXPECT_TRUE(co_flush_backend(*backend_).ok());
    EXPECT_EQ(driver_->flushes, 2u);
  });
}

TEST_F(FlushTest, AFailureIsStickyUntilTheNodeIsReopened) {
  FakeWorld world(1, 1);
  driver_->before_flush = [](ByteRange) { return errno_status(EIO, "cable"); };
  run_in(world, 0, [this] {
    assert_in_coroutine();
    EXPECT_EQ(status_errno(co_flush_backend(*backend_)), EIO);
    driver_->before_flush = nullptr;
    EXPECT_EQ(status_errno(co_flush_backend(*backend_)), EIO);
    EXPECT_TRUE(co_write_bytes(*backend_, 0, filled(8, 1)).ok());
    EXPECT_EQ(status_errno(co_flush_backend(*backend_)), EIO);
    EXPECT_EQ(status_errno(co_write_bytes(*backend_, 0, filled(8, 1), kFua)), EIO);
    EXPECT_EQ(status_errno(co_flush_backend(graph_.add_backend(*node_))), EIO);
  });
  EXPECT_EQ(driver_->flushes, 1u);
}

TEST_F(FlushTest, OneDeviceFlushServesAllWhoWait) {
  FakeWorld world(4, 7);
  CoEvent go_on;
  driver_->before_flush = [&](ByteRange) {
    assert_in_coroutine();
    go_on.co_wait();
    return absl::OkStatus();
  };
  int ended = 0;
  for (unsigned i = 0; i < 32; ++i) {
    start_in(world.context(i % 4), [&, i] {
      assert_in_coroutine();
      EXPECT_TRUE(co_write_bytes(*backend_, i * 512, filled(512, 1)).ok());
      EXPECT_TRUE(co_flush_backend(*backend_).ok());
      ++ended;
    });
  }
  settle(world);
  EXPECT_EQ(driver_->flushes, 1u);
  EXPECT_EQ(ended, 0);
  go_on.set();
  settle(world);
  EXPECT_EQ(ended, 32);
  EXPECT_LE(driver_->flushes, 2u);
}

TEST_F(FlushTest, NoneIsAcknowledgedBeforeTheWritesAcknowledgedAheadOfIt) {
  driver_->tracks_durable = true;
  driver_->before_flush = [](ByteRange) {
    assert_in_coroutine();
    co_pause();
    return absl::OkStatus();
  };
  // The number that each block held when its last write was acknowledged.
  std::array<std::atomic<int>, 64> acknowledged{};
  std::atomic<int> violations{0};
  TestThreads threads(3);
  threads.run(32, [&](unsigned i) {
    assert_in_coroutine();
    for (int round = 1; round <= 60; ++round) {
      EXPECT_TRUE(co_write_bytes(*backend_, i * 512, filled(512, round)).ok());
      acknowledged[i].store(round);
      if (round % 4 != 0) continue;
      std::array<int, 64> expected{};
      for (unsigned block = 0; block < 64; ++block) expected[block] = acknowledged[block].load();
      EXPECT_TRUE(co_flush_backend(*backend_).ok());
      const Bytes durable = driver_->durable_bytes();
      for (unsigned block = 0; block < 64; ++block) {
        if (static_cast<int>(durable[block * 512]) < expected[block]) ++violations;
      }
    }
  });
  EXPECT_EQ(violations.load(), 0);
  EXPECT_LT(driver_->flushes, 32u * 15u) << "some were served by another's";
}

TEST_F(FlushTest, AFormatFlushesItsMetadataAndThenItsChildrenButNoBackingNode) {
  FakeWorld world(1, 1);
  auto owned = std::make_unique<MappedTestDriver>();
  MappedTestDriver& format = *owned;
  Node& node = graph_.add_node("format", std::move(owned), kSize);
  const Child& file = graph_.add_child(node, "file", ChildRole::kImage, *node_);
  auto base_driver = std::make_unique<MemoryDriver>(kSize);
  MemoryDriver& base = *base_driver;
  graph_.add_child(node, "backing", ChildRole::kBacking,
                   graph_.add_node("base", std::move(base_driver), kSize), kConsistentRead);
  format.mappings = {{MappingKind::kData, {0, kSize}, &file, 0, 0}};
  uint64_t metadata_at_flush = 0;
  driver_->before_flush = [&](ByteRange) {
    metadata_at_flush = format.metadata_flushes;
    return absl::OkStatus();
  };
  Backend& backend = graph_.add_backend(node);
  run_in(world, 0, [&] {
    assert_in_coroutine();
    EXPECT_TRUE(co_write_bytes(backend, 0, filled(8, 1)).ok());
    EXPECT_TRUE(co_flush_backend(backend).ok());
  });
  EXPECT_EQ(metadata_at_flush, 1u);
  EXPECT_EQ(driver_->flushes, 1u);
  EXPECT_EQ(base.flushes, 0u);
}

}  // namespace
}  // namespace penstock
