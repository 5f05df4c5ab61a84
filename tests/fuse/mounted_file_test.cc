// SPDX-License-Identifier: Apache-2.0
// Bytes through a real mount: reads, writes, their ends, fsync, times, attributes.
#include <errno.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <sys/uio.h>

#include <cstring>
#include <thread>

#include "base/aligned_buffer.h"
#include "tests/fuse/mounted_test.h"

namespace penstock {
namespace {

using MountedFile = MountedTest;

TEST_F(MountedFile, IsReadableWhenStartReturns) {
  const auto content = pattern_bytes(kSize, 1);
  driver_->set_bytes(content);
  start();
  const UniqueFd fd = open_file(O_RDONLY);
  EXPECT_EQ(read_at(fd.get(), kSize, 0), content);
  EXPECT_EQ(export_->clone_failure(), "");
}

TEST_F(MountedFile, AWriteIsReadBackAndNothingElseChanges) {
  auto content = pattern_bytes(kSize, 1);
  driver_->set_bytes(content);
  start();
  const UniqueFd fd = open_file(O_RDWR);
  uint64_t seed = 2;
  for (const auto& [offset, length] : std::vector<std::pair<size_t, size_t>>{
           {0, 1}, {511, 2}, {4096, 4096}, {5000, 70'000}, {1 << 20, 1 << 20}, {kSize - 7, 7}}) {
    const auto data = pattern_bytes(length, ++seed);
    ASSERT_EQ(pwrite(fd.get(), data.data(), length, offset), static_cast<ssize_t>(length));
    memcpy(content.data() + offset, data.data(), length);
    EXPECT_EQ(driver_->bytes(), content) << "after a write of " << length << " at " << offset;
  }
  EXPECT_EQ(read_at(fd.get(), kSize, 0), content);
}

TEST_F(MountedFile, AlignedDirectTransfersReachTheDriverInOnePiece) {
  start();
  const UniqueFd fd = open_file(O_RDWR | O_DIRECT);
  AlignedBuffer buffer(1 << 20, 4096);
  memset(buffer.data(), 0x5a, buffer.size());
  ASSERT_EQ(pwrite(fd.get(), buffer.data(), buffer.size(), 0), ssize_t{1} << 20);
  EXPECT_EQ(driver_->longest_transfer.load(), uint64_t{1} << 20);
  EXPECT_EQ(driver_->writes.load(), 1u);
}

TEST_F(MountedFile, ReadsStopAtTheEnd) {
  use_driver(10'000);
  driver_->set_bytes(pattern_bytes(10'000, 4));
  start();
  const UniqueFd fd = open_file(O_RDONLY);
  EXPECT_EQ(read_at(fd.get(), 4096, 8192).size(), 10'000u - 8192u);
  EXPECT_EQ(read_at(fd.get(), 4096, 10'000).size(), 0u);
  EXPECT_EQ(read_at(fd.get(), 4096, 1 << 30).size(), 0u);
}

TEST_F(MountedFile, WritesStopAtAFixedEndAndThenFindNoSpace) {
  start();
  const UniqueFd fd = open_file(O_RDWR);
  const auto data = pattern_bytes(4096, 5);
  EXPECT_EQ(pwrite(fd.get(), data.data(), 4096, kSize - 1000), 1000);
  EXPECT_EQ(pwrite(fd.get(), data.data(), 4096, kSize), -1);
  EXPECT_EQ(errno, ENOSPC);
  struct stat attributes;
  ASSERT_EQ(fstat(fd.get(), &attributes), 0);
  EXPECT_EQ(attributes.st_size, static_cast<off_t>(kSize));
}

TEST_F(MountedFile, AGrowableExportGrows) {
  driver_->growable = true;
  file_.growable = true;
  start();
  const UniqueFd fd = open_file(O_RDWR);
  const auto data = pattern_bytes(8192, 6);
  ASSERT_EQ(pwrite(fd.get(), data.data(), 8192, kSize - 4096), 8192);
  struct stat attributes;
  ASSERT_EQ(fstat(fd.get(), &attributes), 0);
  EXPECT_EQ(attributes.st_size, static_cast<off_t>(kSize + 4096));
  EXPECT_EQ(read_at(fd.get(), 10'000, kSize - 4096), data);
  ASSERT_EQ(ftruncate(fd.get(), kSize / 2), 0);
  EXPECT_EQ(node_->size(), kSize / 2);
}

TEST_F(MountedFile, AFixedSizeIsNeverTruncated) {
  const auto content = pattern_bytes(kSize, 7);
  driver_->set_bytes(content);
  start();
  const UniqueFd fd = open_file(O_RDWR);
  EXPECT_EQ(ftruncate(fd.get(), kSize), 0);
  EXPECT_EQ(error_of(ftruncate(fd.get(), 0)), EPERM);
  EXPECT_EQ(error_of(ftruncate(fd.get(), kSize + 1)), EPERM);
  EXPECT_EQ(error_of(open(path().c_str(), O_WRONLY | O_TRUNC)), EPERM);
  EXPECT_EQ(driver_->bytes(), content);
  EXPECT_EQ(read_at(fd.get(), kSize, 0), content);
}

TEST_F(MountedFile, ErrorsOfTheDriverKeepTheirErrno) {
  use_driver(kSize, Limits{.request_alignment = 512, .memory_alignment = 512});
  driver_->before_read = [](ByteRange) { return errno_status(EREMOTEIO, "test"); };
  driver_->before_write = [](ByteRange) { return errno_status(EDQUOT, "test"); };
  driver_->before_flush = [](ByteRange) { return errno_status(ENOMEDIUM, "test"); };
  start();
  {
    const UniqueFd fd = open_file(O_RDWR);
    char byte = 0;
    EXPECT_EQ(error_of(pread(fd.get(), &byte, 1, 0)), EREMOTEIO);
    EXPECT_EQ(error_of(pwrite(fd.get(), &byte, 1, 0)), EREMOTEIO) << "of the reading half";
    AlignedBuffer page(4096, 4096);
    EXPECT_EQ(error_of(pwrite(fd.get(), page.data(), 4096, 0)), EDQUOT);
    EXPECT_EQ(error_of(fsync(fd.get())), ENOMEDIUM);
    EXPECT_EQ(error_of(fdatasync(fd.get())), ENOMEDIUM) << "a failed flush stays failed";
  }
  EXPECT_EQ(status_errno(stop()), ENOMEDIUM);
}

TEST_F(MountedFile, SynchronousWritesAreFlushed) {
  start();
  const UniqueFd fd = open_file(O_RDWR | O_DSYNC);
  const auto data = pattern_bytes(4096, 8);
  const uint64_t before = driver_->flushes.load();
  ASSERT_EQ(pwrite(fd.get(), data.data(), 4096, 0), 4096);
  EXPECT_GT(driver_->flushes.load(), before);
}

TEST_F(MountedFile, ShowsItsAttributes) {
  options_.mode = 0640;
  options_.uid = 12;
  options_.gid = 34;
  use_driver(10'000);
  start();
  struct stat attributes;
  ASSERT_EQ(stat(path().c_str(), &attributes), 0);
  EXPECT_EQ(attributes.st_mode, S_IFREG | 0640u);
  EXPECT_EQ(attributes.st_uid, 12u);
  EXPECT_EQ(attributes.st_gid, 34u);
  EXPECT_EQ(attributes.st_size, 10'000);
  EXPECT_EQ(attributes.st_ino, 2u);
  EXPECT_EQ(attributes.st_blksize, 4096);
  EXPECT_GE(attributes.st_blocks, 1);
  EXPECT_LE(attributes.st_blocks, 20);
  struct statvfs filesystem;
  ASSERT_EQ(statvfs(path().c_str(), &filesystem), 0);
  EXPECT_EQ(filesystem.f_blocks * filesystem.f_frsize, 12'288u);
}

TEST_F(MountedFile, TimesStandStillUntilItIsWritten) {
  start();
  const UniqueFd fd = open_file(O_RDWR);
  struct stat first;
  struct stat second;
  ASSERT_EQ(fstat(fd.get(), &first), 0);
  read_at(fd.get(), 4096, 0);
  ASSERT_EQ(fstat(fd.get(), &second), 0);
  EXPECT_EQ(memcmp(&first.st_mtim, &second.st_mtim, sizeof(timespec)), 0);
  const timespec times[2] = {{1'000, 1}, {2'000, 2}};
  ASSERT_EQ(futimens(fd.get(), times), 0) << strerror(errno);
  ASSERT_EQ(fstat(fd.get(), &second), 0);
  EXPECT_EQ(second.st_mtim.tv_sec, 2'000);
  EXPECT_EQ(second.st_mtim.tv_nsec, 2);
}

int compare_mapping(const char* path, const std::byte* expected, size_t length) {
  return run_in_child([=] {
    const int fd = open(path, O_RDONLY);
    void* memory = mmap(nullptr, length, PROT_READ, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) return errno;
    return memcmp(memory, expected, length) == 0 ? 0 : 255;
  });
}

TEST_F(MountedFile, CanBeMappedShared) {
  const auto content = pattern_bytes(kSize, 9);
  driver_->set_bytes(content);
  start();
  const int result = compare_mapping(path().c_str(), content.data(), content.size());
  if (result == ENODEV) GTEST_SKIP() << "the kernel maps no file that is open for direct I/O";
  EXPECT_EQ(result, 0);
}

TEST_F(MountedFile, CanBeMappedSharedThroughThePageCache) {
  options_.cached = true;
  const auto content = pattern_bytes(kSize, 10);
  driver_->set_bytes(content);
  start();
  EXPECT_EQ(compare_mapping(path().c_str(), content.data(), content.size()), 0);
}

TEST_F(MountedFile, TheKernelKeepsPagesOnlyIfAsked) {
  for (const bool cached : {false, true}) {
    options_.cached = cached;
    start();
    const UniqueFd fd = open_file(O_RDONLY);
    read_at(fd.get(), 4096, 0);
    const uint64_t after_first = driver_->reads.load();
    read_at(fd.get(), 4096, 0);
    EXPECT_EQ(driver_->reads.load() == after_first, cached);
    const_cast<UniqueFd&>(fd).reset();
    ASSERT_TRUE(stop().ok());
  }
}

TEST_F(MountedFile, CoversARegularFile) {
  cover_a_file();
  const auto content = pattern_bytes(kSize, 11);
  driver_->set_bytes(content);
  start();
  struct stat attributes;
  ASSERT_EQ(stat(path().c_str(), &attributes), 0);
  EXPECT_TRUE(S_ISREG(attributes.st_mode));
  EXPECT_EQ(attributes.st_size, static_cast<off_t>(kSize));
  {
    const UniqueFd fd = open_file(O_RDWR);
    EXPECT_EQ(read_at(fd.get(), kSize, 0), content);
    ASSERT_EQ(pwrite(fd.get(), "x", 1, 5), 1);
  }
  ASSERT_TRUE(stop().ok());
  EXPECT_EQ(driver_->bytes()[5], std::byte{'x'});
  ASSERT_EQ(stat(path().c_str(), &attributes), 0);
  EXPECT_EQ(attributes.st_size, 0) << "the covered file itself is untouched";
}

}  // namespace
}  // namespace penstock
