// SPDX-License-Identifier: Apache-2.0
// Holes through a real mount: fallocate and lseek.
#include <errno.h>
#include <linux/falloc.h>

#include <cstring>

#include "tests/fuse/mounted_test.h"

namespace penstock {
namespace {

class MountedSpace : public MountedTest {
 protected:
  // 1 MiB of data, a hole, 1 MiB of data, a hole up to the end.
  void SetUp() override {
    MountedTest::SetUp();
    if (IsSkipped()) return;
    content_.resize(kSize);
    std::fill_n(content_.begin(), kMiB, std::byte{1});
    std::fill_n(content_.begin() + 2 * kMiB, kMiB, std::byte{2});
    driver_->set_bytes(content_);
    driver_->reports_zeroes = true;
  }

  static constexpr off_t kMiB = 1 << 20;
  std::vector<std::byte> content_;
};

TEST_F(MountedSpace, SeeksFindDataAndHoles) {
  start();
  const UniqueFd fd = open_file(O_RDONLY);
  EXPECT_EQ(lseek(fd.get(), 0, SEEK_DATA), 0);
  EXPECT_EQ(lseek(fd.get(), 0, SEEK_HOLE), kMiB);
  EXPECT_EQ(lseek(fd.get(), kMiB, SEEK_DATA), 2 * kMiB);
  EXPECT_EQ(lseek(fd.get(), kMiB + 1, SEEK_HOLE), kMiB + 1);
  EXPECT_EQ(lseek(fd.get(), 2 * kMiB + 7, SEEK_DATA), 2 * kMiB + 7);
  EXPECT_EQ(lseek(fd.get(), 2 * kMiB, SEEK_HOLE), 3 * kMiB);
  EXPECT_EQ(error_of(lseek(fd.get(), 3 * kMiB, SEEK_DATA)), ENXIO);
  EXPECT_EQ(error_of(lseek(fd.get(), kSize, SEEK_DATA)), ENXIO);
  EXPECT_EQ(error_of(lseek(fd.get(), kSize, SEEK_HOLE)), ENXIO);
  EXPECT_EQ(lseek(fd.get(), 0, SEEK_END), static_cast<off_t>(kSize));
}

TEST_F(MountedSpace, TheEndOfDataIsAHole) {
  content_.assign(kSize, std::byte{3});
  driver_->set_bytes(content_);
  start();
  const UniqueFd fd = open_file(O_RDONLY);
  EXPECT_EQ(lseek(fd.get(), 0, SEEK_HOLE), static_cast<off_t>(kSize));
}

TEST_F(MountedSpace, PunchedAndZeroedRangesReadAsZeroes) {
  start();
  const UniqueFd fd = open_file(O_RDWR);
  ASSERT_EQ(fallocate(fd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 8192), 0);
  ASSERT_EQ(fallocate(fd.get(), FALLOC_FL_ZERO_RANGE, 100'000, 333), 0);
  ASSERT_EQ(fallocate(fd.get(), FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 2 * kMiB, 5), 0);
  std::fill_n(content_.begin() + 4096, 8192, std::byte{0});
  std::fill_n(content_.begin() + 100'000, 333, std::byte{0});
  std::fill_n(content_.begin() + 2 * kMiB, 5, std::byte{0});
  EXPECT_EQ(driver_->bytes(), content_);
}

TEST_F(MountedSpace, APunchBeyondTheEndKeepsTheSize) {
  start();
  const UniqueFd fd = open_file(O_RDWR);
  EXPECT_EQ(fallocate(fd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 2 * kMiB, 8 * kMiB), 0);
  EXPECT_EQ(fallocate(fd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, kSize, 4096), 0);
  std::fill(content_.begin() + 2 * kMiB, content_.end(), std::byte{0});
  EXPECT_EQ(driver_->bytes(), content_);
  EXPECT_EQ(lseek(fd.get(), 0, SEEK_END), static_cast<off_t>(kSize));
}

TEST_F(MountedSpace, OtherModesAreRefusedAndChangeNothing) {
  start();
  const UniqueFd fd = open_file(O_RDWR);
  EXPECT_EQ(error_of(fallocate(fd.get(), 0, 0, 4096)), EOPNOTSUPP);
  EXPECT_EQ(error_of(fallocate(fd.get(), FALLOC_FL_KEEP_SIZE, 0, 4096)), EOPNOTSUPP);
  EXPECT_EQ(error_of(fallocate(fd.get(), FALLOC_FL_COLLAPSE_RANGE, 0, 4096)), EOPNOTSUPP);
  EXPECT_EQ(error_of(fallocate(fd.get(), FALLOC_FL_ZERO_RANGE, kSize - 1, 2)), ENOSPC);
  EXPECT_EQ(driver_->bytes(), content_);
}

}  // namespace
}  // namespace penstock
