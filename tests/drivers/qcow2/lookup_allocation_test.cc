// SPDX-License-Identifier: Apache-2.0
// A lookup that hits the table cache takes no memory from the heap.

#include "drivers/qcow2/qcow2_mapper.h"
#include "drivers/qcow2/qcow2_table_cache.h"
#include "tests/drivers/qcow2/memory_image.h"
#include "tests/support/interposed_allocator.h"

namespace penstock {
namespace {

// Counts what the second and later rounds allocate.
uint64_t steady_allocations(Qcow2Mapper& mapper, const Qcow2Mapper::Edges& edges,
                            uint64_t clusters) NO_THREAD_SAFETY_ANALYSIS {
  uint64_t before = 0;
  for (int round = 0; round < 3; ++round) {
    if (round == 1) before = counted_allocations();
    for (uint64_t i = 0; i < clusters; ++i) {
      if (!mapper.co_map(edges, {i << 12, 1 << 16}).ok()) ADD_FAILURE();
      if (!mapper.co_entry(*edges.file, i << 12).ok()) ADD_FAILURE();
    }
  }
  return counted_allocations() - before;
}

TEST(LookupAllocation, AHitTakesNone) {
  constexpr uint64_t kClusters = 500;
  MemoryImage image(4 << 20);
  image.put(1 << 12, (2 << 12) | kQcow2Copied);
  for (uint64_t i = 0; i < kClusters; ++i) {
    image.put((2 << 12) + 8 * i, i % 3 == 2 ? 0 : (10 + i) << 12 | kQcow2Copied);
  }
  image.store();
  const Qcow2Mapper::Edges edges{&image.file(), &image.file(), nullptr};
  Qcow2TableCache cache(image.file(), 4096, 16 * 4096);
  Qcow2Mapper mapper({.cluster_bits = 12}, {1 << 12, 1}, cache);
  FakeWorld world(1, 1);
  uint64_t taken = 1;
  run_in(world, 0, [&] {
    assert_in_coroutine();
    taken = image.in_flight([&] { return steady_allocations(mapper, edges, kClusters); });
  });
  EXPECT_EQ(taken, 0u);
}

}  // namespace
}  // namespace penstock
