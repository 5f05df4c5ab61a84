// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <gtest/gtest.h>

#include "base/aligned_buffer.h"
#include "base/unique_fd.h"

namespace penstock {
namespace {

bool is_open(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }

TEST(UniqueFd, ClosesOnceAndMoves) {
  int number = -1;
  {
    UniqueFd first(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    number = first.get();
    UniqueFd second(std::move(first));
    EXPECT_FALSE(first.valid());
    EXPECT_EQ(second.get(), number);
    UniqueFd third;
    third = std::move(second);
    EXPECT_TRUE(is_open(number));
  }
  EXPECT_FALSE(is_open(number));
}

TEST(UniqueFd, ReleaseGivesItAway) {
  UniqueFd owner(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  const int number = owner.release();
  EXPECT_FALSE(owner.valid());
  EXPECT_TRUE(is_open(number));
  owner.reset(number);
  owner.reset();
  EXPECT_FALSE(is_open(number));
}

TEST(AlignedBuffer, IsAlignedAndMoves) {
  AlignedBuffer buffer(10'000, 4096);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.data()) % 4096, 0u);
  EXPECT_EQ(buffer.span().size(), 10'000u);
  std::byte* const data = buffer.data();
  AlignedBuffer other(std::move(buffer));
  EXPECT_EQ(other.data(), data);
  EXPECT_EQ(buffer.size(), 0u);
  other = AlignedBuffer();
  EXPECT_EQ(other.data(), nullptr);
}

}  // namespace
}  // namespace penstock
