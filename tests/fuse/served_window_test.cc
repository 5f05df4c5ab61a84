// SPDX-License-Identifier: Apache-2.0
#include "fuse/served_window.h"

#include <gtest/gtest.h>

#include <limits>

namespace penstock {
namespace {

constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();

ServedFile part(uint64_t offset, std::optional<uint64_t> length) {
  ServedFile file;
  file.offset = offset;
  file.length = length;
  return file;
}

TEST(ServedWindow, AWholeFileIsItsBackend) {
  const ServedWindow window(part(0, std::nullopt), 1000);
  EXPECT_EQ(window.size(), 1000u);
  EXPECT_EQ(window.clip({10, 20}), (ByteRange{10, 20}));
  EXPECT_EQ(window.clip({990, 20}), (ByteRange{990, 10}));
  EXPECT_TRUE(window.clip({1000, 20}).empty());
}

TEST(ServedWindow, APartNeverReachesOutside) {
  const ServedWindow window(part(100, 50), 1000);
  EXPECT_EQ(window.size(), 50u);
  EXPECT_EQ(window.clip({0, kMax}), (ByteRange{100, 50}));
  EXPECT_EQ(window.clip({49, 2}), (ByteRange{149, 1}));
  EXPECT_TRUE(window.clip({50, 1}).empty());
  EXPECT_TRUE(window.clip({kMax, 1}).empty());
  EXPECT_EQ(window.to_file(149), 49u);
}

TEST(ServedWindow, ABackendThatIsShorterEndsThePart) {
  EXPECT_EQ(ServedWindow(part(100, 50), 120).size(), 20u);
  EXPECT_EQ(ServedWindow(part(100, 50), 120).clip({10, 40}), (ByteRange{110, 10}));
  EXPECT_EQ(ServedWindow(part(100, 50), 100).size(), 0u);
  EXPECT_TRUE(ServedWindow(part(100, 50), 7).clip({0, 1}).empty());
  EXPECT_EQ(ServedWindow(part(kMax - 1, kMax), kMax).size(), 1u);
}

}  // namespace
}  // namespace penstock
