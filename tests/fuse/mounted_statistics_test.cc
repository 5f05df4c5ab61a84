// SPDX-License-Identifier: Apache-2.0
// What the requests of a real mount leave in its backend's statistics.
#include <linux/falloc.h>

#include "tests/fuse/mounted_test.h"

namespace penstock {
namespace {

class MountedStatistics : public MountedTest {
 protected:
  RequestTotals::Kind of(RequestKind kind) const { return backend_->statistics.totals().of(kind); }
};

TEST_F(MountedStatistics, EachSystemCallCountsAsWhatItIs) {
  start();
  const UniqueFd fd = open_file(O_RDWR);
  const std::vector<std::byte> bytes = pattern_bytes(8192, 1);
  ASSERT_EQ(pwrite(fd.get(), bytes.data(), bytes.size(), 4096), 8192);
  EXPECT_EQ(read_at(fd.get(), 4096, 4096).size(), 4096u);
  EXPECT_EQ(read_at(fd.get(), 4096, kSize - 1024).size(), 1024u) << "cut at the end";
  EXPECT_EQ(read_at(fd.get(), 4096, kSize).size(), 0u);
  ASSERT_EQ(fallocate(fd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 16384), 0);
  ASSERT_EQ(fallocate(fd.get(), FALLOC_FL_ZERO_RANGE, 0, 512), 0);
  ASSERT_EQ(fsync(fd.get()), 0);

  EXPECT_EQ(of(RequestKind::kRead).operations, 2u);
  EXPECT_EQ(of(RequestKind::kRead).bytes, 4096u + 1024u);
  EXPECT_EQ(of(RequestKind::kWrite).operations, 2u) << "the zeroing is a write";
  EXPECT_EQ(of(RequestKind::kWrite).bytes, 8192u + 512u);
  EXPECT_EQ(of(RequestKind::kUnmap).operations, 1u);
  EXPECT_EQ(of(RequestKind::kUnmap).bytes, 16384u);
  EXPECT_EQ(of(RequestKind::kFlush).operations, 1u);
  EXPECT_EQ(backend_->statistics.totals().highest_write, 4096u + 8192u);
}

TEST_F(MountedStatistics, AnIoErrorIsAFailedRequest) {
  const auto fails = [](ByteRange) { return errno_status(EIO, "the test's wish"); };
  driver_->before_read = fails;
  driver_->before_write = fails;
  driver_->before_flush = fails;
  start();
  {
    const UniqueFd fd = open_file(O_RDWR);
    std::byte byte{};
    EXPECT_EQ(error_of(pread(fd.get(), &byte, 1, 0)), EIO);
    EXPECT_EQ(error_of(pwrite(fd.get(), &byte, 1, 0)), EIO);
    EXPECT_EQ(error_of(fsync(fd.get())), EIO);
  }
  EXPECT_EQ(of(RequestKind::kRead).failed, 1u);
  EXPECT_EQ(of(RequestKind::kWrite).failed, 1u);
  EXPECT_EQ(of(RequestKind::kFlush).failed, 1u);
  for (const RequestKind kind : {RequestKind::kRead, RequestKind::kWrite, RequestKind::kFlush}) {
    EXPECT_EQ(of(kind).operations, 0u);
    EXPECT_EQ(of(kind).bytes, 0u);
  }
  EXPECT_FALSE(stop().ok()) << "nothing could be flushed";
}

}  // namespace
}  // namespace penstock
