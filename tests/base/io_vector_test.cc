// SPDX-License-Identifier: Apache-2.0
#include "base/io_vector.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace penstock {
namespace {

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

// "abcdefghij" in pieces of 3, 0, 1 and 6 bytes.
class IoVectorTest : public testing::Test {
 protected:
  std::string text(const IoVector& view) {
    std::string result(view.length(), '?');
    view.copy_to(std::as_writable_bytes(std::span(result)));
    return result;
  }

  std::string first_ = "abc";
  std::string second_ = "d";
  std::string third_ = "efghij";
  std::vector<iovec> segments_ = {
      {first_.data(), 3}, {nullptr, 0}, {second_.data(), 1}, {third_.data(), 6}};
  IoVector view_{std::span<const iovec>(segments_)};
};

TEST_F(IoVectorTest, ReadsAcrossSegments) {
  EXPECT_EQ(view_.length(), 10u);
  EXPECT_EQ(text(view_), "abcdefghij");
  EXPECT_TRUE(IoVector().empty());
}

TEST_F(IoVectorTest, EverySliceIsItsBytes) {
  const std::string all = "abcdefghij";
  for (uint64_t offset = 0; offset <= 10; ++offset) {
    for (uint64_t length = 0; length <= 10 - offset; ++length) {
      const IoVector slice = view_.slice(offset, length);
      EXPECT_EQ(text(slice), all.substr(offset, length));
      if (length < 2) continue;
      EXPECT_EQ(text(slice.slice(1, length - 1)), all.substr(offset + 1, length - 1));
    }
  }
}

TEST_F(IoVectorTest, GatherNamesExactlyItsBytes) {
  const IovecList list = view_.slice(1, 5).gather();
  ASSERT_EQ(list.size(), 3u);
  EXPECT_EQ(list[0].iov_base, first_.data() + 1);
  EXPECT_EQ(list[0].iov_len, 2u);
  EXPECT_EQ(list[1].iov_len, 1u);
  EXPECT_EQ(list[2].iov_base, third_.data());
  EXPECT_EQ(list[2].iov_len, 2u);
}

TEST_F(IoVectorTest, KnowsWhenItIsOnePiece) {
  EXPECT_EQ(view_.contiguous().iov_base, nullptr);
  EXPECT_EQ(view_.slice(4, 6).contiguous().iov_base, third_.data());
  EXPECT_EQ(view_.slice(1, 2).contiguous().iov_base, first_.data() + 1);
  EXPECT_EQ(view_.slice(2, 2).contiguous().iov_base, nullptr);
}

TEST_F(IoVectorTest, WritesAcrossSegments) {
  view_.slice(2, 4).copy_from(bytes_of("CDEF"));
  EXPECT_EQ(first_ + second_ + third_, "abCDEFghij");

  std::string other = "0123456789";
  const iovec segment = {other.data(), other.size()};
  view_.copy_from(IoVector(segment));
  EXPECT_EQ(first_ + second_ + third_, "0123456789");
}

TEST_F(IoVectorTest, ZeroesAreWrittenAndRecognised) {
  EXPECT_FALSE(view_.is_zero());
  view_.slice(0, 9).fill_zero();
  EXPECT_TRUE(view_.slice(0, 9).is_zero());
  EXPECT_FALSE(view_.is_zero());
  EXPECT_EQ(third_.back(), 'j');
}

TEST(IoVector, AlignmentCountsAddressesAndLengths) {
  alignas(512) static std::byte memory[2048];
  std::vector<iovec> aligned = {{memory, 512}, {memory + 1024, 1024}};
  EXPECT_TRUE(IoVector(std::span<const iovec>(aligned)).is_aligned_to(512));
  std::vector<iovec> short_piece = {{memory, 500}, {memory + 1024, 1024}};
  EXPECT_FALSE(IoVector(std::span<const iovec>(short_piece)).is_aligned_to(512));
  std::vector<iovec> shifted = {{memory + 8, 512}};
  EXPECT_FALSE(IoVector(std::span<const iovec>(shifted)).is_aligned_to(512));
  EXPECT_TRUE(IoVector(std::span<const iovec>(shifted)).is_aligned_to(8));
}

}  // namespace
}  // namespace penstock
