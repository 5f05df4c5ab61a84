// SPDX-License-Identifier: Apache-2.0
#include "drivers/file/file_driver.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <cerrno>

#include "base/status.h"
#include "tests/drivers/driver_world.h"
#include "tests/drivers/test_files.h"

namespace penstock {
namespace {

using Bytes = std::vector<std::byte>;
using nlohmann::json;

json file_options(const std::string& path, json more = json::object()) {
  more["driver"] = "file";
  more["filename"] = path;
  return more;
}

const FileHandle& handle_of(const Backend& backend) {
  return static_cast<const FileDriver&>(*backend.root.node->driver).handle();
}

// Whether the kernel takes RWF_NOWAIT for cached I/O on this file.
bool takes_nowait(const TestFile& file, bool write) {
  const UniqueFd fd(open(file.path().c_str(), O_RDWR | O_CLOEXEC));
  char byte = 0;
  iovec segment = {&byte, 1};
  const ssize_t result = write ? pwritev2(fd.get(), &segment, 1, 0, RWF_NOWAIT)
                               : preadv2(fd.get(), &segment, 1, 0, RWF_NOWAIT);
  return result >= 0 || errno != EOPNOTSUPP;
}

TEST(FileDriver, ARefusedNowaitIsRememberedAndTheBytesMoveAllTheSame) {
  const TestFile file("/tmp", 1 << 20);
  const bool reads = takes_nowait(file, false);
  const bool writes = takes_nowait(file, true);
  DriverWorld world;
  Backend& backend = world.serve(file_options(file.path()));
  for (int i = 0; i < 3; ++i) {
    const Bytes data = pattern(10'000, static_cast<uint64_t>(i));
    ASSERT_TRUE(world.write(backend, 777, data).ok());
    EXPECT_EQ(world.read(backend, 777, 10'000), data);
  }
  EXPECT_EQ(handle_of(backend).nowait_reads.load(), reads);
  EXPECT_EQ(handle_of(backend).nowait_writes.load(), writes);
}

TEST(FileDriver, BytesThatAreNotInTheCacheComeThroughTheRing) {
  const TestFile file("/tmp", 8 << 20);
  const Bytes data = pattern(8 << 20, 4);
  file.write(0, data);
  {
    const UniqueFd fd(open(file.path().c_str(), O_RDWR | O_CLOEXEC));
    ASSERT_EQ(fsync(fd.get()), 0);
    ASSERT_EQ(posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED), 0);
    // A part of it is in the cache: such a read starts inline and ends in the ring.
    Bytes cached(4096);
    ASSERT_EQ(posix_fadvise(fd.get(), 0, 0, POSIX_FADV_RANDOM), 0);
    ASSERT_EQ(pread(fd.get(), cached.data(), cached.size(), 1 << 20), 4096);
  }
  DriverWorld world;
  Backend& backend = world.serve(file_options(file.path(), {{"read-only", true}}), kReader);
  EXPECT_EQ(world.read(backend, 1 << 20, 1 << 20),
            Bytes(data.begin() + (1 << 20), data.begin() + (2 << 20)));
  EXPECT_EQ(world.read(backend, 0, 8 << 20), data);
}

TEST(FileDriver, AFileCutShortBehindOurBackReadsAsZeroesPastItsEnd) {
  for (const char* folder : {"/dev/shm", "/tmp"}) {
    for (const bool direct : {false, true}) {
      const TestFile file(folder, 100'000);
      file.write(0, pattern(100'000, 1));
      DriverWorld world;
      Backend& backend = world.serve(file_options(file.path(), {{"cache", {{"direct", direct}}}}));
      file.truncate(50'001);
      Bytes expected = pattern(100'000, 1);
      std::fill(expected.begin() + 50'001, expected.end(), std::byte{0});
      EXPECT_EQ(world.read(backend, 0, 100'000), expected) << folder << direct;
    }
  }
}

TEST(FileDriver, ManySmallPiecesOfMemoryMakeOneRequest) {
  constexpr uint64_t kPieces = 3000;  // more than the kernel takes at once
  for (const char* folder : {"/dev/shm", "/tmp"}) {
    const TestFile file(folder, 0);
    DriverWorld world;
    Backend& backend = world.serve(file_options(file.path()));
    Bytes data = pattern(kPieces * 7, 2);
    std::vector<iovec> pieces;
    for (uint64_t i = 0; i < kPieces; ++i) pieces.push_back({data.data() + i * 7, 7});
    const absl::Status written = run_sync(world.context(0), [&]() -> absl::Status {
      assert_in_coroutine();
      BackendRequest request(backend, "write", 0, data.size());
      return co_pwritev(request.root(), 0, IoVector(pieces));
    });
    ASSERT_TRUE(written.ok()) << status_text(written);
    EXPECT_EQ(file.read(0, data.size()), data);
    const Bytes expected = data;
    std::fill(data.begin(), data.end(), std::byte{0});
    const absl::Status read = run_sync(world.context(0), [&]() -> absl::Status {
      assert_in_coroutine();
      BackendRequest request(backend, "read", 0, data.size());
      return co_preadv(request.root(), 0, IoVector(pieces));
    });
    ASSERT_TRUE(read.ok()) << status_text(read);
    EXPECT_EQ(data, expected);
  }
}

uint64_t blocks_of(const TestFile& file) {
  struct stat about = {};
  return stat(file.path().c_str(), &about) == 0 ? static_cast<uint64_t>(about.st_blocks) : 0;
}

TEST(FileDriver, DiscardsReachTheFileUnlessIgnored) {
  for (const char* folder : {"/dev/shm", "/tmp"}) {
    for (const bool unmap : {true, false}) {
      const TestFile file(folder, 1 << 20);
      file.write(0, pattern(1 << 20, 1));
      DriverWorld world;
      Backend& backend =
          world.serve(file_options(file.path(), {{"discard", unmap ? "unmap" : "ignore"}}));
      ASSERT_TRUE(world.discard(backend, {0, 1 << 20}).ok());
      ASSERT_TRUE(world.flush(backend).ok());
      EXPECT_EQ(blocks_of(file) == 0, unmap) << folder;
      EXPECT_EQ(backend.root.node->driver->allocated_bytes(), blocks_of(file) * 512);
    }
  }
}

TEST(FileDriver, ZeroesMakeHolesIfTheyMay) {
  for (const char* folder : {"/dev/shm", "/tmp"}) {
    const TestFile file(folder, 1 << 20);
    file.write(0, pattern(1 << 20, 1));
    DriverWorld world;
    Backend& backend = world.serve(file_options(file.path()));
    ASSERT_TRUE(world.write_zeroes(backend, {0, 1 << 19}, kMayUnmap).ok());
    EXPECT_EQ(file.read(0, 1 << 19), Bytes(1 << 19));
    EXPECT_LE(blocks_of(file), (1u << 19) / 512 + 8) << folder;
    ASSERT_TRUE(world.write_zeroes(backend, {1 << 19, 1 << 19}).ok());
    EXPECT_EQ(file.read(0, 1 << 20), Bytes(1 << 20));
  }
}

TEST(FileDriver, ZeroesPastTheEndGrowTheFile) {
  for (const char* folder : {"/dev/shm", "/tmp"}) {
    for (const RequestFlags flags : {kNoFlags, kMayUnmap}) {
      const TestFile file(folder, 1000);
      file.write(0, pattern(1000, 1));
      DriverWorld world;
      Backend& backend = world.serve(file_options(file.path()));
      const absl::Status zeroed = world.write_zeroes(backend, {500, 100'000}, flags);
      ASSERT_TRUE(zeroed.ok()) << status_text(zeroed);
      EXPECT_EQ(file.size(), 100'500u) << folder << flags;
      Bytes expected = pattern(1000, 1);
      expected.resize(500);
      expected.resize(100'500);
      EXPECT_EQ(world.read(backend, 0, 100'500), expected);
    }
  }
}

TEST(FileDriver, AReadOnlyFileIsNotOpenedForWriting) {
  const TestFile file("/dev/shm", 1000);
  DriverWorld world;
  Backend& backend = world.serve(file_options(file.path(), {{"read-only", true}}), kReader);
  EXPECT_EQ(fcntl(handle_of(backend).fd.get(), F_GETFL) & O_ACCMODE, O_RDONLY);
  EXPECT_EQ(backend.root.node->driver->resizable(), nullptr);
}

TEST(FileDriver, DirectIoTellsItsAlignment) {
  const TestFile file("/tmp", 1 << 20);
  DriverWorld world;
  Backend& backend = world.serve(file_options(file.path(), {{"cache", {{"direct", true}}}}));
  EXPECT_NE(fcntl(handle_of(backend).fd.get(), F_GETFL) & O_DIRECT, 0);
  EXPECT_GE(backend.root.node->limits.request_alignment, 512u);
  EXPECT_LE(backend.root.node->limits.request_alignment, 4096u);
}

TEST(FileDriver, WhatCannotBeOpenedIsNamed) {
  DriverWorld world;
  const auto expect = [&](const json& options, int error, const std::string& named) {
    const auto node = world.open(options);
    EXPECT_EQ(status_errno(node.status()), error) << status_text(node.status());
    EXPECT_NE(status_text(node.status()).find(named), std::string::npos)
        << status_text(node.status());
  };
  expect(file_options("/nonexistent/image"), ENOENT, "/nonexistent/image");
  expect(file_options("/tmp", {{"read-only", true}}), EISDIR, "/tmp");
  expect(file_options("/dev/zero"), EINVAL, "neither a regular file nor a block device");
  expect(file_options("/dev/shm", {{"locking", "maybe"}}), EINVAL, "locking");
  expect({{"driver", "file"}}, EINVAL, "filename");
  const TestFile file("/dev/shm", 1000);
  expect(file_options(file.path(), {{"force-share", true}}), EINVAL, "force-share");
  const TestFile pipe_name("/dev/shm", 0);
  ASSERT_EQ(unlink(pipe_name.path().c_str()), 0);
  ASSERT_EQ(mkfifo(pipe_name.path().c_str(), 0600), 0);
  expect(file_options(pipe_name.path(), {{"read-only", true}}), EINVAL, "neither");
}

}  // namespace
}  // namespace penstock
