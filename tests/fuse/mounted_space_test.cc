// SPDX-License-Identifier: Apache-2.0
// Holes through a real mount: fallocate and lseek.
#include <errno.h>
#include <linux/falloc.h>

#include <cstring>
#include <thread>

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

// An image whose extents are so many that no seek can look at all of them.
class EndlessExtents : public MountedTest {
 protected:
  static constexpr uint64_t kHugeSize = uint64_t{1} << 60;
  static constexpr uint64_t kExtent = 512;

  // All of this kind.
  void use_extents(MappingKind kind) {
    auto driver = std::make_unique<MappedTestDriver>();
    driver->mapper = [this, kind](ByteRange range, MapIntent) -> absl::StatusOr<Mapping> {
      assert_in_coroutine();
      looked_.set();
      if (!go_on_.is_set()) go_on_.co_wait();
      return Mapping{.kind = kind, .range = {range.offset, std::min(range.length, kExtent)}};
    };
    extents_ = driver.get();
    node_ = &graph_.add_node("endless", std::move(driver), kHugeSize);
    backend_ = &graph_.add_backend(*node_);
    file_.writable = false;
  }

  MappedTestDriver* extents_ = nullptr;
  CoEvent looked_;
  CoEvent go_on_;
};

TEST_F(EndlessExtents, ASeekForDataAnswersBeforeItHasFoundAny) {
  use_extents(MappingKind::kZero);
  go_on_.set();
  start();
  const UniqueFd fd = open_file(O_RDONLY);
  const off_t first = lseek(fd.get(), 0, SEEK_DATA);
  EXPECT_GT(first, 0) << "or a program that goes on from there would stay where it is";
  EXPECT_EQ(first % kExtent, 0);
  EXPECT_LT(first, static_cast<off_t>(kHugeSize));
  EXPECT_EQ(lseek(fd.get(), first, SEEK_HOLE), first);
}

TEST_F(EndlessExtents, ASeekForAHoleThatIsNotFoundInTimeAnswersTheEnd) {
  use_extents(MappingKind::kSpecial);
  go_on_.set();
  start();
  const UniqueFd fd = open_file(O_RDONLY);
  EXPECT_EQ(lseek(fd.get(), 0, SEEK_HOLE), static_cast<off_t>(kHugeSize));
}

TEST_F(EndlessExtents, TheEndOfTheSessionCutsASeekShort) {
  use_extents(MappingKind::kZero);
  start();
  const UniqueFd fd = open_file(O_RDONLY);
  std::thread seeker([&] { EXPECT_GT(lseek(fd.get(), 0, SEEK_DATA), 0) << strerror(errno); });
  on_control([this] {
    assert_in_coroutine();
    looked_.co_wait();
  });
  std::thread stopper([&] { EXPECT_TRUE(stop(Nanoseconds{0}).ok()); });
  struct stat attributes;
  while (stat(path().c_str(), &attributes) == 0) std::this_thread::yield();  // until it is detached
  go_on_.set();
  seeker.join();
  stopper.join();
  EXPECT_LT(extents_->maps, 3u);
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
