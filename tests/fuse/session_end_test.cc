// SPDX-License-Identifier: Apache-2.0
// How sessions end, and what changes while they run: drains, resizes, missing clones.
#include <errno.h>
#include <sys/mount.h>

#include <atomic>
#include <cstring>
#include <thread>

#include "base/aligned_buffer.h"
#include "block/node/in_flight.h"
#include "iothreads/co_sleep.h"
#include "tests/fuse/mounted_test.h"

namespace penstock {
namespace {

constexpr auto kBound = std::chrono::seconds(10);

class SessionEnd : public MountedTest {
 protected:
  // Reads wait for this.
  void suspend_reads() {
    driver_->before_read = [this](ByteRange) {
      assert_in_coroutine();
      suspended_.set();
      resume_.co_wait();
      return absl::OkStatus();
    };
  }

  void wait_for(CoEvent& event) {
    on_control([&event] {
      assert_in_coroutine();
      event.co_wait();
    });
  }

  CoEvent suspended_;
  CoEvent resume_;
};

TEST_F(SessionEnd, StopFlushesAndUnmounts) {
  start();
  {
    const UniqueFd fd = open_file(O_RDWR);
    ASSERT_EQ(pwrite(fd.get(), "abc", 3, 0), 3);
  }
  const uint64_t flushes = driver_->flushes.load();
  ASSERT_TRUE(stop().ok());
  EXPECT_GT(driver_->flushes.load(), flushes);
  struct stat attributes;
  EXPECT_EQ(error_of(stat(path().c_str(), &attributes)), ENOENT);
}

TEST_F(SessionEnd, AForeignUnmountEndsTheSession) {
  start();
  ASSERT_EQ(umount2(directory_.c_str(), UMOUNT_NOFOLLOW), 0);
  wait_for(export_->ended());
  EXPECT_TRUE(stop().ok());
}

TEST_F(SessionEnd, ABusyMountIsDetachedAfterTheGrace) {
  start();
  const UniqueFd fd = open_file(O_RDWR);
  ASSERT_TRUE(stop(std::chrono::milliseconds(60)).ok());
  char byte;
  const int error = error_of(pread(fd.get(), &byte, 1, 0));
  EXPECT_TRUE(error == ENOTCONN || error == ECONNABORTED) << strerror(error);
}

TEST_F(SessionEnd, AMountThatBecomesFreeIsUnmountedWithinTheGrace) {
  start();
  UniqueFd fd = open_file(O_RDWR);
  std::atomic<bool> stopped{false};
  std::thread stopper([&] {
    EXPECT_TRUE(stop(kBound).ok());
    stopped = true;
  });
  ASSERT_EQ(pwrite(fd.get(), "abc", 3, 0), 3);
  EXPECT_FALSE(stopped);
  fd.reset();
  stopper.join();
  EXPECT_EQ(driver_->bytes()[2], std::byte{'c'});
}

TEST_F(SessionEnd, ASuspendedRequestIsAnsweredBeforeTheEnd) {
  suspend_reads();
  start();
  UniqueFd fd = open_file(O_RDONLY);
  std::thread reader([&] {
    char byte;
    // The mount is detached meanwhile, but the session lives until the request is answered.
    EXPECT_EQ(pread(fd.get(), &byte, 1, 0), 1) << strerror(errno);
  });
  wait_for(suspended_);
  const auto begin = std::chrono::steady_clock::now();
  std::thread stopper([&] { EXPECT_TRUE(stop(std::chrono::milliseconds(40)).ok()); });
  on_control([] {
    assert_in_coroutine();
    co_sleep(std::chrono::milliseconds(100));
  });
  EXPECT_FALSE(export_->ended().is_set());
  resume_.set();
  stopper.join();
  reader.join();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, kBound);
}

TEST_F(SessionEnd, QueuesShareADescriptorWhereClonesAreRefused) {
  host_.clone_error = EACCES;
  const auto content = pattern_bytes(kSize, 3);
  driver_->set_bytes(content);
  start();
  EXPECT_NE(export_->clone_failure().find("Permission denied"), std::string::npos);
  std::vector<std::thread> readers;
  for (int i = 0; i < 4; ++i) {
    readers.emplace_back([&] {
      const UniqueFd fd = open_file(O_RDONLY);
      std::vector<std::byte> bytes(4096);
      for (uint64_t offset = 0; offset < kSize; offset += bytes.size()) {
        ASSERT_EQ(pread(fd.get(), bytes.data(), bytes.size(), offset), 4096);
        ASSERT_EQ(memcmp(bytes.data(), content.data() + offset, bytes.size()), 0);
      }
    });
  }
  for (std::thread& reader : readers) reader.join();
}

TEST_F(SessionEnd, AMissingMountPointIsNamed) {
  options_.mount_point = directory_ + "/missing";
  const absl::Status status = try_start();
  EXPECT_EQ(status_errno(status), ENOENT);
  EXPECT_NE(status_text(status).find("/missing"), std::string::npos);
}

TEST_F(SessionEnd, AResizeShowsInTheAttributes) {
  start();
  const UniqueFd fd = open_file(O_RDONLY);
  struct stat attributes;
  ASSERT_EQ(fstat(fd.get(), &attributes), 0);
  EXPECT_EQ(attributes.st_size, static_cast<off_t>(kSize));
  on_control([this] {
    assert_control_thread();
    node_->set_size(2 * kSize);
    export_->resized(*backend_, 2 * kSize);
  });
  // The kernel is told by a thread of the pool.
  const auto deadline = std::chrono::steady_clock::now() + kBound;
  do {
    std::this_thread::yield();
    ASSERT_EQ(fstat(fd.get(), &attributes), 0);
  } while (attributes.st_size != static_cast<off_t>(2 * kSize) &&
           std::chrono::steady_clock::now() < deadline);
  EXPECT_EQ(attributes.st_size, static_cast<off_t>(2 * kSize));
}

}  // namespace
}  // namespace penstock
