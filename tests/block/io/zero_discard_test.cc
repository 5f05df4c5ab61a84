// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cerrno>
#include <memory>
#include <vector>

#include "tests/block/block_test_support.h"
#include "tests/block/memory_driver.h"
#include "tests/block/test_graph.h"

namespace penstock {
namespace {

constexpr Limits kLimits{.request_alignment = 512,
                         .memory_alignment = 512,
                         .zero_alignment = 4096,
                         .discard_alignment = 4096};
constexpr uint64_t kSize = 4 << 20;

class ZeroDiscardTest : public ::testing::Test {
 protected:
  ZeroDiscardTest() {
    auto driver = std::make_unique<MemoryDriver>(kSize, kLimits);
    driver_ = driver.get();
    driver_->set_bytes(filled(kSize, 7));
    node_ = &graph_.add_node("disk", std::move(driver), kSize, kLimits);
    backend_ = &graph_.add_backend(*node_);
  }
  absl::Status zero(ByteRange range, RequestFlags flags = kNoFlags) {
    absl::Status status;
    run_in(world_, 0, [&] {
      assert_in_coroutine();
      status = co_zero_bytes(*backend_, range, flags);
    });
    return status;
  }
  void expect_zero_exactly(ByteRange range) {
    Bytes expected = filled(kSize, 7);
    std::fill_n(expected.begin() + static_cast<ptrdiff_t>(range.offset), range.length,
                std::byte{0});
    EXPECT_TRUE(driver_->bytes() == expected);
  }

  TestGraph graph_;
  FakeWorld world_{1, 1};
  MemoryDriver* driver_ = nullptr;
  Node* node_ = nullptr;
  Backend* backend_ = nullptr;
};

TEST_F(ZeroDiscardTest, HeadAndTailAreWrittenAndTheMiddleIsZeroed) {
  std::vector<ByteRange> zeroed;
  driver_->before_zeroes = [&](ByteRange range) {
    zeroed.push_back(range);
    return absl::OkStatus();
  };
  EXPECT_TRUE(zero({1000, 20000}).ok());
  expect_zero_exactly({1000, 20000});
  ASSERT_EQ(zeroed.size(), 1u);
  EXPECT_EQ(zeroed[0], (ByteRange{4096, 16384}));
  EXPECT_EQ(driver_->writes, 2u);
}

TEST_F(ZeroDiscardTest, PiecesOfEveryAlignmentChangeNoOtherByte) {
  for (const ByteRange range : {ByteRange{0, 4096}, ByteRange{5000, 1}, ByteRange{4000, 200},
                                ByteRange{4096, 512}, ByteRange{4097, 8191}}) {
    driver_->set_bytes(filled(kSize, 7));
    EXPECT_TRUE(zero(range).ok());
    expect_zero_exactly(range);
  }
}

TEST_F(ZeroDiscardTest, WithoutSupportItWritesZeroesInBoundedPieces) {
  driver_->supports_zeroes = false;
  EXPECT_TRUE(zero({100, 3 << 20}).ok());
  expect_zero_exactly({100, 3 << 20});
  EXPECT_LE(driver_->longest_transfer, uint64_t{1} << 20);
}

TEST_F(ZeroDiscardTest, WithoutFallbackItWritesNothing) {
  driver_->supports_zeroes = false;
  EXPECT_EQ(status_errno(zero({100, 1 << 20}, kNoFallback)), EOPNOTSUPP);
  driver_->supports_zeroes = true;
  EXPECT_EQ(status_errno(zero({100, 200}, kNoFallback)), EOPNOTSUPP);
  EXPECT_EQ(driver_->writes, 0u);
  expect_zero_exactly({0, 0});
}

TEST_F(ZeroDiscardTest, ZeroesMayGrowTheNode) {
  driver_->growable = true;
  EXPECT_TRUE(zero({kSize - 100, 1000}).ok());
  EXPECT_EQ(node_->size(), kSize + 900);
  EXPECT_EQ(driver_->bytes().size(), kSize + 900);
}

TEST_F(ZeroDiscardTest, ADiscardSkipsWhatIsSmallerThanTheUnit) {
  std::vector<ByteRange> discarded;
  driver_->before_discard = [&](ByteRange range) {
    discarded.push_back(range);
    return absl::OkStatus();
  };
  run_in(world_, 0, [this] {
    assert_in_coroutine();
    EXPECT_TRUE(co_discard_bytes(*backend_, {1, 4095}).ok());
    EXPECT_TRUE(co_discard_bytes(*backend_, {1, 9000}).ok());
    driver_->supports_discard = false;
    EXPECT_TRUE(co_discard_bytes(*backend_, {8192, 4096}).ok()) << "it is advice";
  });
  EXPECT_EQ(discarded, (std::vector<ByteRange>{{4096, 4096}}));
  expect_zero_exactly({4096, 4096});
}

TEST_F(ZeroDiscardTest, AMappedNodePassesBothToItsChild) {
  auto owned = std::make_unique<MappedTestDriver>();
  MappedTestDriver& format = *owned;
  Node& node = graph_.add_node("format", std::move(owned), 65536);
  const Child& file = graph_.add_child(node, "file", ChildRole::kImage, *node_);
  format.mappings = {{MappingKind::kData, {0, 65536}, &file, 8192, 0}};
  Backend& backend = graph_.add_backend(node);
  run_in(world_, 0, [&] {
    assert_in_coroutine();
    EXPECT_TRUE(co_zero_bytes(backend, {0, 4096}).ok());
    EXPECT_TRUE(co_discard_bytes(backend, {4096, 4096}).ok());
  });
  EXPECT_EQ(driver_->zeroes, 1u);
  EXPECT_EQ(driver_->discards, 1u);
  EXPECT_EQ(driver_->writes, 0u);
  expect_zero_exactly({8192, 8192});
}

}  // namespace
}  // namespace penstock
