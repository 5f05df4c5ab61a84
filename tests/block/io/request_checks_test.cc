// SPDX-License-Identifier: Apache-2.0
// What the choke point refuses, and how it says so.
#include <cerrno>
#include <cstdint>
#include <memory>

#include "tests/block/block_test_support.h"
#include "tests/block/memory_driver.h"
#include "tests/block/test_graph.h"

namespace penstock {
namespace {

class RequestChecksTest : public ::testing::Test {
 protected:
  RequestChecksTest() {
    auto driver = std::make_unique<MemoryDriver>(4096);
    driver_ = driver.get();
    node_ = &graph_.add_node("disk", std::move(driver), 4096);
    backend_ = &graph_.add_backend(*node_);
  }
  void run(std::function<void()> function) { run_in(world_, 0, std::move(function)); }

  TestGraph graph_;
  FakeWorld world_{1, 1};
  MemoryDriver* driver_ = nullptr;
  Node* node_ = nullptr;
  Backend* backend_ = nullptr;
};

TEST_F(RequestChecksTest, WhatIsWrittenIsRead) {
  run([this] {
    assert_in_coroutine();
    EXPECT_TRUE(co_write_bytes(*backend_, 100, filled(50, 7)).ok());
    EXPECT_EQ(*co_read_bytes(*backend_, 100, 50), filled(50, 7));
  });
  EXPECT_EQ(driver_->bytes()[99], std::byte{0});
  EXPECT_EQ(driver_->bytes()[150], std::byte{0});
  EXPECT_TRUE(node_->counters.idle());
  EXPECT_TRUE(backend_->gate.idle());
}

TEST_F(RequestChecksTest, RangesAreCheckedBeforeTheDriverSeesThem) {
  run([this] {
    assert_in_coroutine();
    EXPECT_EQ(status_errno(co_read_bytes(*backend_, UINT64_MAX - 3, 8).status()), EINVAL);
    EXPECT_EQ(status_errno(co_read_bytes(*backend_, INT64_MAX, 8).status()), EFBIG);
    EXPECT_EQ(status_errno(co_read_bytes(*backend_, 4090, 8).status()), EIO);
    EXPECT_EQ(status_errno(co_write_bytes(*backend_, 4090, filled(8, 1))), EIO);
    EXPECT_EQ(status_errno(co_discard_bytes(*backend_, {4096, 1})), EIO);
    EXPECT_EQ(status_errno(co_zero_bytes(*backend_, {4000, 100})), EIO);
    EXPECT_EQ(status_errno(co_status_of(*backend_, {4096, 1}).status()), EIO);
    EXPECT_TRUE(co_read_bytes(*backend_, 9999, 0).ok());
  });
  EXPECT_EQ(driver_->reads + driver_->writes + driver_->zeroes + driver_->discards, 0u);
}

TEST_F(RequestChecksTest, AnEdgeNeedsThePermission) {
  backend_->root.taken = kConsistentRead;
  run([this] {
    assert_in_coroutine();
    EXPECT_TRUE(co_read_bytes(*backend_, 0, 8).ok());
    EXPECT_EQ(status_errno(co_write_bytes(*backend_, 0, filled(8, 1))), EPERM);
    EXPECT_EQ(status_errno(co_zero_bytes(*backend_, {0, 8})), EPERM);
    EXPECT_EQ(status_errno(co_discard_bytes(*backend_, {0, 8})), EPERM);
    EXPECT_EQ(status_errno(co_resize_backend(*backend_, 8)), EPERM);
    backend_->root.taken = 0;
    EXPECT_EQ(status_errno(co_read_bytes(*backend_, 0, 8).status()), EPERM);
  });
}

TEST_F(RequestChecksTest, AReadOnlyNodeTakesNoWrites) {
  node_->read_only = true;
  run([this] {
    assert_in_coroutine();
    EXPECT_TRUE(co_read_bytes(*backend_, 0, 8).ok());
    EXPECT_EQ(status_errno(co_write_bytes(*backend_, 0, filled(8, 1))), EROFS);
    EXPECT_EQ(status_errno(co_resize_backend(*backend_, 8)), EROFS);
    EXPECT_TRUE(co_flush_backend(*backend_).ok());
  });
  EXPECT_EQ(driver_->flushes, 0u);
}

TEST_F(RequestChecksTest, AnErrorKeepsItsErrnoAndNamesOperationNodeAndOffset) {
  driver_->before_read = [](ByteRange) { return errno_status(EUCLEAN, "memory"); };
  run([this] {
    assert_in_coroutine();
    const auto read = co_read_bytes(*backend_, 1024, 8);
    EXPECT_EQ(status_errno(read.status()), EUCLEAN);
    const std::string text = status_text(read.status());
    for (const char* part : {"read", "'disk'", "1024", "8 bytes"}) {
      EXPECT_NE(text.find(part), std::string::npos) << text;
    }
  });
}

TEST_F(RequestChecksTest, LongRequestsAreSplitAndUnalignedMemoryIsCopied) {
  const Limits limits{.request_alignment = 512, .memory_alignment = 512, .max_transfer = 3000};
  auto driver = std::make_unique<MemoryDriver>(65536, limits);
  MemoryDriver& memory = *driver;
  Backend& backend = graph_.add_backend(graph_.add_node("split", std::move(driver), 65536, limits));
  std::mt19937_64 random(3);
  const Bytes bytes = random_bytes(random, 40'000);
  run([&] {
    assert_in_coroutine();
    EXPECT_TRUE(co_write_bytes(backend, 1024, bytes).ok());
    EXPECT_EQ(*co_read_bytes(backend, 1024, bytes.size()), bytes);
  });
  EXPECT_EQ(memory.longest_transfer, 2560u);
}

TEST_F(RequestChecksTest, FuaFlushesAfterTheWrite) {
  bool written_when_flushed = false;
  driver_->before_flush = [&](ByteRange) {
    written_when_flushed = driver_->bytes()[0] == std::byte{9};
    return absl::OkStatus();
  };
  run([this] {
    assert_in_coroutine();
    EXPECT_TRUE(co_write_bytes(*backend_, 0, filled(8, 9), kFua).ok());
  });
  EXPECT_EQ(driver_->flushes, 1u);
  EXPECT_TRUE(written_when_flushed);
}

TEST_F(RequestChecksTest, TheTagNamesTheInnermostNodeWhileItIsInThere) {
  const void* seen = nullptr;
  int in_flight = 0;
  driver_->before_read = [&](ByteRange) {
    seen = Coroutine::self()->tag().node.load();
    in_flight = Coroutine::self()->in_flight;
    return absl::OkStatus();
  };
  run([this] {
    assert_in_coroutine();
    EXPECT_TRUE(co_read_bytes(*backend_, 0, 8).ok());
    EXPECT_EQ(Coroutine::self()->tag().node.load(), nullptr);
    EXPECT_EQ(Coroutine::self()->in_flight, 0);
  });
  EXPECT_EQ(seen, node_);
  EXPECT_EQ(in_flight, 2) << "the gate and the node";
}

}  // namespace
}  // namespace penstock
