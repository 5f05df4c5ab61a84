// SPDX-License-Identifier: Apache-2.0
#include "block/io/mapped_io.h"

#include <algorithm>
#include <cerrno>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/block/block_test_support.h"
#include "tests/block/memory_driver.h"
#include "tests/block/test_graph.h"

namespace penstock {
namespace {

class MappedIoTest : public ::testing::Test {
 protected:
  MemoryDriver& add_memory(const std::string& name, uint64_t size, int value, Node** node) {
    auto driver = std::make_unique<MemoryDriver>(size);
    driver->set_bytes(filled(size, value));
    MemoryDriver& result = *driver;
    *node = &graph_.add_node(name, std::move(driver), size);
    return result;
  }
  MappedTestDriver& add_format(const std::string& name, uint64_t size, Node** node) {
    auto driver = std::make_unique<MappedTestDriver>();
    MappedTestDriver& result = *driver;
    *node = &graph_.add_node(name, std::move(driver), size);
    return result;
  }
  void set_backing(MappedTestDriver& driver, Node& node, Node& backing) {
    driver.backing =
        &graph_.add_child(node, "backing", ChildRole::kBacking, backing, kConsistentRead);
  }
  absl::StatusOr<Bytes> read(Backend& backend, uint64_t offset, uint64_t length) {
    absl::StatusOr<Bytes> bytes = absl::UnknownError("not run");
    run_in(world_, 0, [&] {
      assert_in_coroutine();
      bytes = co_read_bytes(backend, offset, length);
    });
    return bytes;
  }
  // A chain of `nodes`, of which the last is all sevens in a special mapping.
  Node& add_chain(unsigned nodes) {
    Node* below = nullptr;
    for (unsigned i = 0; i < nodes; ++i) {
      Node* node = nullptr;
      MappedTestDriver& driver = add_format("layer" + std::to_string(i), 4096, &node);
      if (below == nullptr) {
        driver.mappings = {{MappingKind::kSpecial, {0, 4096}, nullptr, 0, 7}};
      } else {
        set_backing(driver, *node, *below);
      }
      below = node;
    }
    return *below;
  }

  TestGraph graph_;
  FakeWorld world_{1, 1};
};

TEST_F(MappedIoTest, EveryKindOfMappingIsRead) {
  Node *file = nullptr, *node = nullptr, *base = nullptr;
  add_memory("file", 4096, 1, &file);
  add_memory("base", 350, 2, &base);
  MappedTestDriver& format = add_format("format", 1000, &node);
  const Child& child = graph_.add_child(*node, "file", ChildRole::kImage, *file);
  set_backing(format, *node, *base);
  format.mappings = {{MappingKind::kData, {0, 100}, &child, 2000, 0},
                     {MappingKind::kZero, {100, 100}, nullptr, 0, 0},
                     {MappingKind::kSpecial, {200, 100}, nullptr, 0, 9},
                     {MappingKind::kUnallocated, {400, 100}, nullptr, 0, 0}};
  const auto bytes = read(graph_.add_backend(*node), 50, 500);
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  Bytes expected;
  // 300 to 400 is unallocated, and the backing node ends at 350.
  for (const auto& [length, value] : {std::pair{50, 1}, {100, 0}, {100, 9}, {50, 2}, {200, 0}}) {
    const Bytes piece = filled(static_cast<size_t>(length), value);
    expected.insert(expected.end(), piece.begin(), piece.end());
  }
  EXPECT_EQ(*bytes, expected);
}

TEST_F(MappedIoTest, LayersOfAChainAreMixedAndShorterOnesEndInZeroes) {
  Node *file = nullptr, *top = nullptr, *middle = nullptr, *bottom = nullptr;
  add_memory("file", 4096, 1, &file);
  MappedTestDriver& top_driver = add_format("top", 1000, &top);
  MappedTestDriver& middle_driver = add_format("middle", 600, &middle);
  MappedTestDriver& bottom_driver = add_format("bottom", 1000, &bottom);
  set_backing(top_driver, *top, *middle);
  set_backing(middle_driver, *middle, *bottom);
  const Child& child = graph_.add_child(*top, "file", ChildRole::kImage, *file);
  top_driver.mappings = {{MappingKind::kData, {300, 100}, &child, 0, 0}};
  middle_driver.mappings = {{MappingKind::kSpecial, {100, 100}, nullptr, 0, 2}};
  bottom_driver.mappings = {{MappingKind::kSpecial, {0, 1000}, nullptr, 0, 3}};
  const auto bytes = read(graph_.add_backend(*top), 0, 1000);
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  Bytes expected;
  for (const auto& [length, value] :
       {std::pair{100, 3}, {100, 2}, {100, 3}, {100, 1}, {200, 3}, {400, 0}}) {
    const Bytes piece = filled(static_cast<size_t>(length), value);
    expected.insert(expected.end(), piece.begin(), piece.end());
  }
  EXPECT_EQ(*bytes, expected);
  EXPECT_TRUE(middle->counters.idle() && bottom->counters.idle());
  EXPECT_TRUE(middle->counters.untracked_idle() && bottom->counters.untracked_idle());
}

TEST_F(MappedIoTest, ARequestIsInFlightInEveryLayerThatItPasses) {
  Node *file = nullptr, *bottom = nullptr, *top = nullptr;
  MemoryDriver& memory = add_memory("file", 4096, 5, &file);
  MappedTestDriver& bottom_driver = add_format("bottom", 4096, &bottom);
  MappedTestDriver& top_driver = add_format("top", 4096, &top);
  set_backing(top_driver, *top, *bottom);
  const Child& child = graph_.add_child(*bottom, "file", ChildRole::kImage, *file);
  bottom_driver.mappings = {{MappingKind::kData, {0, 4096}, &child, 0, 0}};
  int in_flight = 0;
  memory.before_read = [&](ByteRange) {
    in_flight = Coroutine::self()->in_flight;
    EXPECT_FALSE(top->counters.idle() || bottom->counters.idle() || file->counters.idle());
    return absl::OkStatus();
  };
  EXPECT_EQ(*read(graph_.add_backend(*top), 0, 10), filled(10, 5));
  EXPECT_EQ(in_flight, 4) << "the gate and three nodes";
}

TEST_F(MappedIoTest, AChainOf256NodesIsReadAndALongerOneIsAClearError) {
  EXPECT_EQ(*read(graph_.add_backend(add_chain(256)), 100, 10), filled(10, 7));
  const auto bytes = read(graph_.add_backend(add_chain(257)), 100, 10);
  EXPECT_EQ(status_errno(bytes.status()), ELOOP);
  EXPECT_NE(status_text(bytes.status()).find("256"), std::string::npos) << bytes.status();
}

TEST_F(MappedIoTest, AnErrorInALowerLayerNamesIt) {
  Node *top = nullptr, *bottom = nullptr;
  MappedTestDriver& top_driver = add_format("top", 4096, &top);
  MappedTestDriver& bottom_driver = add_format("bottom", 4096, &bottom);
  set_backing(top_driver, *top, *bottom);
  bottom_driver.mapper = [](ByteRange, MapIntent) -> absl::StatusOr<Mapping> {
    return errno_status(EUCLEAN, "broken table");
  };
  const auto bytes = read(graph_.add_backend(*top), 0, 10);
  EXPECT_EQ(status_errno(bytes.status()), EUCLEAN);
  EXPECT_NE(status_text(bytes.status()).find("'bottom'"), std::string::npos) << bytes.status();
  EXPECT_TRUE(bottom->counters.idle());
}

TEST_F(MappedIoTest, AMappingThatCannotBeIsAnError) {
  Node* node = nullptr;
  MappedTestDriver& format = add_format("format", 4096, &node);
  Backend& backend = graph_.add_backend(*node);
  Mapping answer;
  format.mapper = [&](ByteRange, MapIntent) -> absl::StatusOr<Mapping> { return answer; };
  for (const Mapping& bad : {Mapping{MappingKind::kZero, {100, 0}, nullptr, 0, 0},
                             Mapping{MappingKind::kZero, {100, 11}, nullptr, 0, 0},
                             Mapping{MappingKind::kZero, {101, 5}, nullptr, 0, 0},
                             Mapping{MappingKind::kData, {100, 5}, nullptr, 0, 0}}) {
    answer = bad;
    EXPECT_EQ(status_errno(read(backend, 100, 10).status()), EIO);
  }
  answer = Mapping{MappingKind::kZero, {100, 10}, nullptr, 0, 0};
  run_in(world_, 0, [&] {
    assert_in_coroutine();
    EXPECT_EQ(status_errno(co_write_bytes(backend, 100, filled(10, 1))), EIO)
        << "a write must be mapped to data";
  });
}

TEST_F(MappedIoTest, WritesGoWhereTheDriverSays) {
  Node *file = nullptr, *node = nullptr;
  MemoryDriver& memory = add_memory("file", 4096, 0, &file);
  MappedTestDriver& format = add_format("format", 1000, &node);
  const Child& child = graph_.add_child(*node, "file", ChildRole::kImage, *file);
  format.mappings = {{MappingKind::kData, {0, 100}, &child, 2000, 0},
                     {MappingKind::kData, {100, 100}, &child, 1000, 0},
                     {MappingKind::kSpecial, {200, 100}, nullptr, 0, 9}};
  Backend& backend = graph_.add_backend(*node);
  run_in(world_, 0, [&] {
    assert_in_coroutine();
    EXPECT_TRUE(co_write_bytes(backend, 50, filled(200, 3)).ok());
  });
  const Bytes bytes = memory.bytes();
  EXPECT_EQ(std::count(bytes.begin(), bytes.end(), std::byte{3}), 150);
  EXPECT_EQ(std::count(bytes.begin() + 2050, bytes.begin() + 2100, std::byte{3}), 50);
  EXPECT_EQ(std::count(bytes.begin() + 1000, bytes.begin() + 1100, std::byte{3}), 100);
  EXPECT_EQ(format.special_writes, 1u);
  EXPECT_EQ(node->counters.writes_completed(), 1u);
  EXPECT_EQ(file->counters.writes_completed(), 2u);
}

}  // namespace
}  // namespace penstock
