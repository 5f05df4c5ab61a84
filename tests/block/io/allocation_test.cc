// SPDX-License-Identifier: Apache-2.0
// The success path of a steady read or write takes no memory from the heap.
#include <memory>

#include "tests/block/block_test_support.h"
#include "tests/block/memory_driver.h"
#include "tests/block/test_graph.h"
#include "tests/support/interposed_allocator.h"

namespace penstock {
namespace {

TEST(Allocation, ASteadyReadAndWriteOf4KiBThroughTwoNodesTakesNone) {
  TestGraph graph;
  FakeWorld world(1, 1);
  Node& file = graph.add_node("file", std::make_unique<MemoryDriver>(1 << 20), 1 << 20);
  auto owned = std::make_unique<MappedTestDriver>();
  MappedTestDriver& format = *owned;
  Node& node = graph.add_node("format", std::move(owned), 1 << 20);
  const Child& child = graph.add_child(node, "file", ChildRole::kImage, file);
  format.mappings = {{MappingKind::kData, {0, 1 << 20}, &child, 0, 0}};
  Backend& backend = graph.add_backend(node);
  Bytes bytes(4096);
  uint64_t before = 0;
  uint64_t taken = 1;
  run_in(world, 0, [&] {
    assert_in_coroutine();
    for (int round = 0; round < 1001; ++round) {
      if (round == 1) before = counted_allocations();
      const iovec memory = iovec_of(std::span<std::byte>(bytes));
      const IoVector data(memory);
      BackendRequest request(backend, "read", 0, 4096);
      bool failed = !request.status().ok();
      failed = failed || !co_preadv(request.root(), 4096 * (round % 100), data).ok();
      failed = failed || !co_pwritev(request.root(), 4096 * (round % 100), data).ok();
      if (failed) ADD_FAILURE();
    }
    taken = counted_allocations() - before;
  });
  EXPECT_EQ(taken, 0u);
}

}  // namespace
}  // namespace penstock
