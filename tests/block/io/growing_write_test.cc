// SPDX-License-Identifier: Apache-2.0
// Writes that grow the node.
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <memory>

#include "tests/block/block_test_support.h"
#include "tests/block/memory_driver.h"
#include "tests/block/test_graph.h"

namespace penstock {
namespace {

TEST(GrowingWrite, NeedsAGrowingDriverAndThePermissionToResize) {
  TestGraph graph;
  FakeWorld world(1, 1);
  auto owned = std::make_unique<MemoryDriver>(100);
  MemoryDriver& driver = *owned;
  Node& node = graph.add_node("disk", std::move(owned), 100);
  Backend& backend = graph.add_backend(node);
  run_in(world, 0, [&] {
    assert_in_coroutine();
    EXPECT_EQ(status_errno(co_write_bytes(backend, 90, filled(20, 1))), EIO);
    driver.growable = true;
    backend.root.taken = kAllPermissions & ~kResize;
    EXPECT_EQ(status_errno(co_write_bytes(backend, 90, filled(20, 1))), EPERM);
    EXPECT_EQ(node.size(), 100u);
    backend.root.taken = kAllPermissions;
    EXPECT_TRUE(co_write_bytes(backend, 200, filled(20, 1)).ok());
    EXPECT_EQ(node.size(), 220u);
    EXPECT_EQ(*co_read_bytes(backend, 100, 100), filled(100, 0));
  });
}

TEST(GrowingWrite, TheSizeShowsAfterTheData) {
  TestGraph graph;
  FakeWorld world(1, 1);
  auto owned = std::make_unique<MemoryDriver>(0);
  MemoryDriver& driver = *owned;
  driver.growable = true;
  Node& node = graph.add_node("disk", std::move(owned), 0);
  Backend& backend = graph.add_backend(node);
  uint64_t size_while_writing = 1;
  driver.after_write = [&](ByteRange) {
    size_while_writing = node.size();
    return absl::OkStatus();
  };
  run_in(world, 0, [&] {
    assert_in_coroutine();
    EXPECT_TRUE(co_write_bytes(backend, 0, filled(20, 1)).ok());
    driver.after_write = [](ByteRange) { return errno_status(ENOSPC, "full"); };
    EXPECT_EQ(status_errno(co_write_bytes(backend, 20, filled(20, 1))), ENOSPC);
  });
  EXPECT_EQ(size_while_writing, 0u);
  EXPECT_EQ(node.size(), 20u) << "a write that failed grows nothing";
}

// Through a mapped layer, so that two sizes grow by each write.
TEST(GrowingWrite, TwoGrowersNeverLoseAnAcknowledgedByte) {
  constexpr int kRounds = 10'000;
  TestGraph graph;
  auto file_driver = std::make_unique<MemoryDriver>(0);
  MemoryDriver& memory = *file_driver;
  memory.growable = true;
  Node& file = graph.add_node("file", std::move(file_driver), 0);

  struct GrowingFormat : MappedTestDriver, Resizable {
    Resizable* resizable() override { return this; }
    bool grows_by_writing() const override { return true; }
    absl::Status co_resize(uint64_t) override IO_CODE { return absl::OkStatus(); }
  };
  auto format_driver = std::make_unique<GrowingFormat>();
  GrowingFormat& format = *format_driver;
  Node& node = graph.add_node("format", std::move(format_driver), 0);
  const Child& child = graph.add_child(node, "file", ChildRole::kImage, file);
  format.mapper = [&](ByteRange range, MapIntent) -> absl::StatusOr<Mapping> {
    return Mapping{MappingKind::kData, range, &child, range.offset, 0};
  };
  Backend& backend = graph.add_backend(node);

  std::atomic<int> lost{0};
  std::atomic<uint64_t> next{0};
  uint64_t largest = 0;
  {
    TestThreads threads(2);
    threads.run(2, [&](unsigned writer) {
      assert_in_coroutine();
      std::mt19937_64 random(writer);
      for (int round = 0; round < kRounds; ++round) {
        // Neighbouring slots, so that both race for the end.
        const uint64_t offset = next.fetch_add(1) * 8;
        const Bytes bytes = filled(8, static_cast<int>(writer) + 1);
        if (!co_write_bytes(backend, offset, bytes).ok()) ++lost;
        const auto read = co_read_bytes(backend, offset, 8);
        if (!read.ok() || *read != bytes) ++lost;
        if (random() % 8 == 0) co_pause();
      }
    });
    largest = next.load() * 8;
  }
  EXPECT_EQ(lost.load(), 0);
  EXPECT_EQ(node.size(), largest);
  EXPECT_EQ(file.size(), largest);
  const Bytes bytes = memory.bytes();
  EXPECT_EQ(bytes.size(), largest);
  EXPECT_EQ(std::count(bytes.begin(), bytes.end(), std::byte{0}), 0);
}

}  // namespace
}  // namespace penstock
