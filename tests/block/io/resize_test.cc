// SPDX-License-Identifier: Apache-2.0
#include <cerrno>
#include <memory>

#include "iothreads/co_event.h"
#include "tests/block/block_test_support.h"
#include "tests/block/memory_driver.h"
#include "tests/block/test_graph.h"

namespace penstock {
namespace {

class ResizeTest : public ::testing::Test {
 protected:
  ResizeTest() {
    auto driver = std::make_unique<MemoryDriver>(1000);
    driver_ = driver.get();
    node_ = &graph_.add_node("disk", std::move(driver), 1000);
    backend_ = &graph_.add_backend(*node_);
  }

  TestGraph graph_;
  FakeWorld world_{2, 1};
  MemoryDriver* driver_ = nullptr;
  Node* node_ = nullptr;
  Backend* backend_ = nullptr;
};

TEST_F(ResizeTest, TheSizeIsExactAndNewBytesAreZero) {
  run_in(world_, 0, [this] {
    assert_in_coroutine();
    EXPECT_TRUE(co_write_bytes(*backend_, 0, filled(1000, 5)).ok());
    EXPECT_TRUE(co_resize_backend(*backend_, 500).ok());
    EXPECT_EQ(node_->size(), 500u);
    EXPECT_EQ(status_errno(co_read_bytes(*backend_, 499, 2).status()), EIO);
    EXPECT_TRUE(co_resize_backend(*backend_, 2000).ok());
    EXPECT_EQ(*co_read_bytes(*backend_, 500, 1500), filled(1500, 0));
  });
  EXPECT_EQ(driver_->bytes().size(), 2000u);
}

TEST_F(ResizeTest, AFailureLeavesTheSize) {
  driver_->before_resize = [](ByteRange) { return errno_status(ENOSPC, "full"); };
  run_in(world_, 0, [this] {
    assert_in_coroutine();
    EXPECT_EQ(status_errno(co_resize_backend(*backend_, 2000)), ENOSPC);
  });
  EXPECT_EQ(node_->size(), 1000u);
}

TEST_F(ResizeTest, ADriverWithoutItAnswersUnsupported) {
  Backend& fixed =
      graph_.add_backend(graph_.add_node("fixed", std::make_unique<MappedTestDriver>(), 10));
  run_in(world_, 0, [&] {
    assert_in_coroutine();
    EXPECT_EQ(status_errno(co_resize_backend(fixed, 20)), EOPNOTSUPP);
  });
}

TEST_F(ResizeTest, AShrinkWaitsForRequestsInWhatGoesAndThoseAfterItSeeTheNewSize) {
  CoEvent go_on;
  driver_->before_write = [&](ByteRange) {
    assert_in_coroutine();
    go_on.co_wait();
    return absl::OkStatus();
  };
  absl::Status before, after;
  const auto writer = start_in(world_.context(0), [&] {
    assert_in_coroutine();
    before = co_write_bytes(*backend_, 800, filled(100, 1));
  });
  settle(world_);
  const auto shrinker = start_in(world_.context(1), [&] {
    assert_in_coroutine();
    EXPECT_TRUE(co_resize_backend(*backend_, 500).ok());
  });
  settle(world_);
  const auto late = start_in(world_.context(0), [&] {
    assert_in_coroutine();
    after = co_write_bytes(*backend_, 800, filled(100, 2));
  });
  settle(world_);
  EXPECT_FALSE(*writer || *shrinker || *late);
  EXPECT_EQ(node_->size(), 1000u);
  go_on.set();
  settle(world_);
  EXPECT_TRUE(*writer && *shrinker && *late);
  EXPECT_TRUE(before.ok());
  EXPECT_EQ(status_errno(after), EIO) << "it had passed its first check before the shrink";
  EXPECT_EQ(driver_->bytes().size(), 500u);
}

}  // namespace
}  // namespace penstock
