// SPDX-License-Identifier: Apache-2.0
// Padding and read-modify-write.
#include <cerrno>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "iothreads/co_event.h"
#include "tests/block/block_test_support.h"
#include "tests/block/memory_driver.h"
#include "tests/block/test_graph.h"

namespace penstock {
namespace {

struct Disk {
  Disk(TestGraph& graph, uint64_t size, Limits limits) {
    auto owned = std::make_unique<MemoryDriver>(size, limits);
    driver = owned.get();
    node = &graph.add_node("disk", std::move(owned), size, limits);
    backend = &graph.add_backend(*node);
  }
  MemoryDriver* driver;
  Node* node;
  Backend* backend;
};

constexpr Limits kBlocks{.request_alignment = 4096, .memory_alignment = 4096};

TEST(UnalignedWrite, AFailedReadOfItsFirstHalfFailsTheWriteAndChangesNothing) {
  TestGraph graph;
  FakeWorld world(1, 1);
  Disk disk(graph, 65536, kBlocks);
  std::mt19937_64 random(1);
  const Bytes before = random_bytes(random, 65536);
  disk.driver->set_bytes(before);
  // A hundred bytes within a block; a tail whose read fails after the head's succeeded.
  for (const ByteRange range : {ByteRange{5000, 100}, ByteRange{5000, 20000}}) {
    const uint64_t bad_block = align_down(range.end() - 1, 4096);
    disk.driver->before_read = [&](ByteRange read) {
      return read.contains({bad_block, 1}) ? errno_status(EIO, "bad sector") : absl::OkStatus();
    };
    run_in(world, 0, [&] {
      assert_in_coroutine();
      EXPECT_EQ(status_errno(co_write_bytes(*disk.backend, range.offset, filled(range.length, 1))),
                EIO);
    });
    EXPECT_EQ(disk.driver->bytes(), before);
    EXPECT_EQ(disk.driver->writes, 0u);
  }
}

TEST(UnalignedWrite, ItsEventsComeInOrder) {
  TestGraph graph;
  FakeWorld world(1, 1);
  Disk disk(graph, 65536, kBlocks);
  std::vector<std::string> events;
  disk.driver->on_event = [&](const char* event, ByteRange) {
    events.emplace_back(event);
    return absl::OkStatus();
  };
  run_in(world, 0, [&] {
    assert_in_coroutine();
    EXPECT_TRUE(co_write_bytes(*disk.backend, 100, filled(9000, 1)).ok());
    events.emplace_back("within");
    EXPECT_TRUE(co_write_bytes(*disk.backend, 100, filled(10, 1)).ok());
    events.emplace_back("aligned");
    EXPECT_TRUE(co_write_bytes(*disk.backend, 4096, filled(4096, 1)).ok());
  });
  const std::vector<std::string> expected = {"pwritev_rmw_head",
                                             "pwritev_rmw_after_head",
                                             "pwritev_rmw_tail",
                                             "pwritev_rmw_after_tail",
                                             "pwritev",
                                             "pwritev_done",
                                             "within",
                                             "pwritev_rmw_head",
                                             "pwritev_rmw_after_head",
                                             "pwritev",
                                             "pwritev_done",
                                             "aligned",
                                             "pwritev",
                                             "pwritev_done"};
  EXPECT_EQ(events, expected);
}

TEST(UnalignedWrite, AnOverlappingWriteWaitsForIt) {
  TestGraph graph;
  FakeWorld world(2, 1);
  Disk disk(graph, 65536, kBlocks);
  CoEvent go_on;
  disk.driver->on_event = [&](const char* event, ByteRange) {
    assert_in_coroutine();
    if (std::string(event) == "pwritev_rmw_after_head") go_on.co_wait();
    return absl::OkStatus();
  };
  const auto unaligned = start_in(world.context(0), [&] {
    assert_in_coroutine();
    EXPECT_TRUE(co_write_bytes(*disk.backend, 100, filled(10, 1)).ok());
  });
  settle(world);
  // The block has been read: a write to its other bytes now would be lost.
  const auto aligned = start_in(world.context(1), [&] {
    assert_in_coroutine();
    EXPECT_TRUE(co_write_bytes(*disk.backend, 0, filled(4096, 2)).ok());
  });
  const auto elsewhere = start_in(world.context(1), [&] {
    assert_in_coroutine();
    EXPECT_TRUE(co_write_bytes(*disk.backend, 8192, filled(4096, 3)).ok());
  });
  settle(world);
  EXPECT_FALSE(*aligned);
  EXPECT_TRUE(*elsewhere);
  go_on.set();
  settle(world);
  EXPECT_TRUE(*unaligned && *aligned);
  EXPECT_EQ(disk.driver->bytes()[0], std::byte{2});
  EXPECT_EQ(disk.driver->bytes()[105], std::byte{2});
}

TEST(UnalignedWrite, AtAnUnalignedEndItLeavesTheStorageItsSize) {
  TestGraph graph;
  FakeWorld world(1, 1);
  Disk disk(graph, 5000, kBlocks);
  run_in(world, 0, [&] {
    assert_in_coroutine();
    EXPECT_TRUE(co_write_bytes(*disk.backend, 4990, filled(10, 1)).ok());
    EXPECT_EQ(*co_read_bytes(*disk.backend, 4990, 10), filled(10, 1));
  });
  EXPECT_EQ(disk.driver->bytes().size(), 5000u);
  disk.driver->growable = true;
  run_in(world, 0, [&] {
    assert_in_coroutine();
    EXPECT_TRUE(co_write_bytes(*disk.backend, 9000, filled(10, 2)).ok());
    EXPECT_EQ(*co_read_bytes(*disk.backend, 5000, 4000), filled(4000, 0));
  });
  EXPECT_EQ(disk.driver->bytes().size(), 9010u);
  EXPECT_EQ(disk.node->size(), 9010u);
}

// Alignment, memory alignment, contexts.
class Differential : public ::testing::TestWithParam<std::tuple<uint64_t, uint64_t, unsigned>> {};

// Each of eight coroutines owns stripes of odd sizes next to the others' and knows their bytes:
// a write that disturbed its neighbours in a shared block would be seen.
TEST_P(Differential, NeighboursInOneBlockNeverDisturbEachOther) {
  const auto [alignment, memory_alignment, contexts] = GetParam();
  constexpr unsigned kWriters = 8;
  constexpr uint64_t kStripe = 1237;
  constexpr uint64_t kSize = 1 << 18;
  TestGraph graph;
  Disk disk(graph, kSize, {.request_alignment = alignment, .memory_alignment = memory_alignment});
  std::vector<Bytes> models(kWriters, Bytes(kSize));
  {
    TestThreads threads(contexts);
    threads.run(kWriters, [&](unsigned writer) {
      assert_in_coroutine();
      std::mt19937_64 random(writer);
      Bytes& model = models[writer];
      for (int round = 0; round < 400; ++round) {
        const uint64_t stripe = (random() % (kSize / kStripe / kWriters)) * kWriters + writer;
        const uint64_t offset = stripe * kStripe + random() % kStripe;
        const uint64_t length = 1 + random() % ((stripe + 1) * kStripe - offset);
        const ptrdiff_t at = static_cast<ptrdiff_t>(offset);
        if (random() % 3 != 0) {
          const Bytes bytes = random_bytes(random, length);
          const auto status = co_write_bytes(*disk.backend, offset, bytes);
          EXPECT_TRUE(status.ok()) << status;
          std::copy(bytes.begin(), bytes.end(), model.begin() + at);
        } else {
          const auto bytes = co_read_bytes(*disk.backend, offset, length);
          EXPECT_TRUE(bytes.ok() && std::equal(bytes->begin(), bytes->end(), model.begin() + at));
        }
      }
    });
  }
  Bytes expected(kSize);
  for (uint64_t i = 0; i < kSize; ++i) expected[i] = models[i / kStripe % kWriters][i];
  EXPECT_EQ(disk.driver->bytes(), expected);
  EXPECT_TRUE(disk.node->counters.idle());
}

INSTANTIATE_TEST_SUITE_P(UnalignedWrite, Differential,
                         ::testing::Combine(::testing::Values(1, 512, 4096),
                                            ::testing::Values(1, 512),
                                            ::testing::Values(1u, 2u, 4u)));

}  // namespace
}  // namespace penstock
