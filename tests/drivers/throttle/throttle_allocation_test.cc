// SPDX-License-Identifier: Apache-2.0
// A throttle without limits takes no memory and moves no byte of what passes.
#include <memory>

#include "block/io/child_io.h"
#include "drivers/throttle/throttle_driver.h"
#include "tests/block/block_test_support.h"
#include "tests/block/test_graph.h"
#include "tests/support/interposed_allocator.h"

namespace penstock {
namespace {

// Remembers where the memory of the last request was.
class AddressDriver final : public Driver, public DirectIo {
 public:
  DirectIo* direct_io() override { return this; }
  const void* last = nullptr;

 private:
  absl::Status co_readv(uint64_t, const IoVector& data, RequestFlags) IO_CODE override {
    last = data.contiguous().iov_base;
    return absl::OkStatus();
  }
  absl::Status co_writev(uint64_t, const IoVector& data, RequestFlags) IO_CODE override {
    last = data.contiguous().iov_base;
    return absl::OkStatus();
  }
  absl::Status co_flush() IO_CODE override { return absl::OkStatus(); }
};

TEST(ThrottleAllocation, WithoutLimitsRequestsTakeNoMemoryAndAreNotCopied) {
  TestGraph graph;
  FakeWorld world(1, 1);
  ThrottleGroups groups;
  const auto group = std::make_shared<ThrottleGroup>("g", ThrottleLimits{});
  auto owned = std::make_unique<AddressDriver>();
  AddressDriver& below = *owned;
  Node& disk = graph.add_node("disk", std::move(owned), 1 << 20);
  Node& node = graph.add_node("t", nullptr, 1 << 20);
  const Child& child = graph.add_child(node, "file", ChildRole::kFiltered, disk);
  node.driver =
      std::make_unique<ThrottleDriver>(child, groups, std::make_unique<ThrottleMember>(group, "t"));
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
      failed = failed || !co_preadv(request.root(), 4096, data).ok() || below.last != bytes.data();
      below.last = nullptr;
      failed = failed || !co_pwritev(request.root(), 4096, data).ok() || below.last != bytes.data();
      if (failed) ADD_FAILURE();
    }
    taken = counted_allocations() - before;
  });
  EXPECT_EQ(taken, 0u);
}

}  // namespace
}  // namespace penstock
