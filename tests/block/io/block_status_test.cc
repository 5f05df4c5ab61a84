// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <memory>

#include "tests/block/block_test_support.h"
#include "tests/block/memory_driver.h"
#include "tests/block/test_graph.h"

namespace penstock {
namespace {

class BlockStatusTest : public ::testing::Test {
 protected:
  BlockStatusTest() {
    // Data in [0, 1000), zeroes behind it.
    auto memory = std::make_unique<MemoryDriver>(4096);
    memory->reports_zeroes = true;
    Bytes bytes(4096);
    std::fill_n(bytes.begin(), 1000, std::byte{1});
    memory->set_bytes(bytes);
    file_ = &graph_.add_node("file", std::move(memory), 4096);
    auto base = std::make_unique<MemoryDriver>(300);
    base_ = &graph_.add_node("base", std::move(base), 300);

    auto format = std::make_unique<MappedTestDriver>();
    format_ = format.get();
    node_ = &graph_.add_node("format", std::move(format), 2000);
    child_ = &graph_.add_child(*node_, "file", ChildRole::kImage, *file_);
    format_->backing = &graph_.add_child(*node_, "backing", ChildRole::kBacking, *base_);
    format_->mappings = {{MappingKind::kData, {0, 200}, child_, 900, 0},
                         {MappingKind::kZero, {400, 100}, nullptr, 0, 0},
                         {MappingKind::kSpecial, {500, 100}, nullptr, 0, 1}};
    backend_ = &graph_.add_backend(*node_);
  }
  BlockStatus status(uint64_t offset, uint64_t length) { return status(*backend_, offset, length); }
  BlockStatus status(Backend& backend, uint64_t offset, uint64_t length) {
    BlockStatus result;
    run_in(world_, 0, [&] {
      assert_in_coroutine();
      const auto answer = co_status_of(backend, {offset, length});
      ASSERT_TRUE(answer.ok()) << answer.status();
      result = *answer;
    });
    return result;
  }

  TestGraph graph_;
  FakeWorld world_{1, 1};
  Node* file_ = nullptr;
  Node* base_ = nullptr;
  Node* node_ = nullptr;
  const Child* child_ = nullptr;
  MappedTestDriver* format_ = nullptr;
  Backend* backend_ = nullptr;
};

TEST_F(BlockStatusTest, DataIsAskedForWhereItIs) {
  const BlockStatus data = status(50, 1000);
  EXPECT_TRUE(data.data && !data.zero && data.allocated);
  EXPECT_EQ(data.length, 50u) << "the file's data ends at its 1000";
  EXPECT_EQ(data.child, child_);
  EXPECT_EQ(data.child_offset, 950u);
  const BlockStatus hole = status(100, 1000);
  EXPECT_TRUE(hole.zero && !hole.data && hole.allocated);
  EXPECT_EQ(hole.length, 100u) << "the mapping ends";
}

TEST_F(BlockStatusTest, AShortBackingNodeEndsInZeroes) {
  const BlockStatus inside = status(200, 1000);
  EXPECT_TRUE(inside.data && !inside.allocated);
  EXPECT_EQ(inside.length, 100u);
  const BlockStatus past = status(300, 1000);
  EXPECT_TRUE(past.zero && !past.data && !past.allocated);
  EXPECT_EQ(past.length, 100u);
}

TEST_F(BlockStatusTest, ZeroAndSpecialMappingsAreAnsweredAtOnce) {
  const BlockStatus zero = status(450, 1000);
  EXPECT_TRUE(zero.zero && zero.allocated && !zero.data);
  EXPECT_EQ(zero.length, 50u);
  const BlockStatus special = status(500, 1500);
  EXPECT_TRUE(special.data && special.allocated && !special.zero);
  EXPECT_EQ(special.length, 100u);
}

TEST_F(BlockStatusTest, TheLayerThatDecidesIsCounted) {
  const BlockStatus own = status(50, 1000);
  EXPECT_TRUE(own.present && own.depth == 0 && !own.zero_below && !own.compressed);
  const BlockStatus hole = status(100, 1000);
  EXPECT_TRUE(hole.present && hole.depth == 0 && hole.zero_below);
  const BlockStatus zero = status(450, 1000);
  EXPECT_TRUE(zero.present && zero.depth == 0 && !zero.zero_below);
  const BlockStatus special = status(500, 1500);
  EXPECT_TRUE(special.present && special.compressed && special.child == nullptr);
  const BlockStatus below = status(200, 1000);
  EXPECT_TRUE(below.present && below.depth == 1 && below.child == nullptr);
  const BlockStatus past = status(300, 1000);
  EXPECT_TRUE(!past.present && past.depth == 0) << "nobody has it; the layer above decides that";
}

TEST_F(BlockStatusTest, ZeroesMayHaveAPlace) {
  format_->mappings = {{MappingKind::kZero, {0, 200}, child_, 900, 0}};
  const BlockStatus zero = status(50, 1000);
  EXPECT_TRUE(zero.zero && !zero.data && zero.present);
  EXPECT_EQ(zero.child, child_);
  EXPECT_EQ(zero.child_offset, 950u);
}

TEST_F(BlockStatusTest, AFilterAnswersItsChildsStatus) {
  auto driver = std::make_unique<MappedTestDriver>();
  driver->filter = true;
  Node& filter = graph_.add_node("filter", std::move(driver), 2000);
  graph_.add_child(filter, "file", ChildRole::kFiltered, *node_);
  const BlockStatus past = status(graph_.add_backend(filter), 300, 1000);
  EXPECT_TRUE(past.zero && !past.allocated);
  EXPECT_EQ(past.length, 100u);
}

TEST_F(BlockStatusTest, AWalkOverTheWholeNodeEnds) {
  uint64_t at = 0;
  int steps = 0;
  while (at < 2000 && steps < 100) {
    const uint64_t length = status(at, 2000 - at).length;
    ASSERT_GT(length, 0u);
    at += length;
    ++steps;
  }
  EXPECT_EQ(at, 2000u);
  EXPECT_TRUE(node_->counters.idle() && file_->counters.idle() && base_->counters.idle());
}

}  // namespace
}  // namespace penstock
