// SPDX-License-Identifier: Apache-2.0
// Many threads on one mount, verified, also while it is drained again and again.
#include <errno.h>

#include <atomic>
#include <cstring>
#include <random>
#include <thread>

#include "base/aligned_buffer.h"
#include "block/node/in_flight.h"
#include "tests/fuse/mounted_test.h"

namespace penstock {
namespace {

constexpr int kThreads = 4;

class MountedLoad : public MountedTest {
 protected:
  // Each thread writes and verifies random ranges of its own quarter.
  void run_threads(int flags, size_t alignment, int rounds) {
    std::vector<std::thread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([=, this] { verify_quarter(i, flags, alignment, rounds); });
    }
    for (std::thread& thread : threads) thread.join();
  }

  void verify_quarter(int index, int flags, size_t alignment, int rounds) {
    const size_t quarter = kSize / kThreads;
    const size_t base = index * quarter;
    const UniqueFd fd = open_file(O_RDWR | flags);
    std::mt19937_64 random(index);
    std::vector<std::byte> expected(quarter);
    AlignedBuffer buffer(quarter, 4096);
    for (int round = 0; round < rounds; ++round) {
      const size_t offset = random() % (quarter / alignment) * alignment;
      const size_t longest = std::min<size_t>(quarter - offset, 128 * 1024);
      const size_t length = (random() % (longest / alignment) + 1) * alignment;
      if (random() % 2 == 0) {
        const auto data = pattern_bytes(length, random());
        memcpy(expected.data() + offset, data.data(), length);
        memcpy(buffer.data(), data.data(), length);
        ASSERT_EQ(pwrite(fd.get(), buffer.data(), length, base + offset),
                  static_cast<ssize_t>(length))
            << strerror(errno);
      } else {
        ASSERT_EQ(pread(fd.get(), buffer.data(), length, base + offset),
                  static_cast<ssize_t>(length))
            << strerror(errno);
        ASSERT_EQ(memcmp(buffer.data(), expected.data() + offset, length), 0)
            << "thread " << index << " at " << base + offset << " length " << length;
      }
      if (random() % 64 == 0) {
        ASSERT_EQ(fsync(fd.get()), 0);
      }
      requests_.fetch_add(1, std::memory_order_relaxed);
    }
  }

  std::atomic<uint64_t> requests_{0};
};

TEST_F(MountedLoad, AlignedDirectTransfersVerify) {
  start();
  run_threads(O_DIRECT, 4096, 400);
}

TEST_F(MountedLoad, UnalignedTransfersVerify) {
  use_driver(kSize, Limits{.request_alignment = 512, .memory_alignment = 512});
  start();
  run_threads(0, 1, 300);
}

TEST_F(MountedLoad, CachedTransfersVerify) {
  options_.cached = true;
  start();
  run_threads(0, 1, 300);
}

TEST_F(MountedLoad, VerifiesWithoutIoUring) {
  threads_.clear();
  for (const char* name : {"io0", "io1"}) {
    threads_.push_back(*IoThread::start(name, Engine::kThreads));
  }
  start();
  run_threads(O_DIRECT, 4096, 200);
}

TEST_F(MountedLoad, NothingIsInFlightInADrainAndNothingIsLost) {
  start();
  std::atomic<bool> done{false};
  std::thread load([&] {
    run_threads(O_DIRECT, 4096, 400);
    done = true;
  });
  int drains = 0;
  while (!done) {
    on_control([this, &drains] {
      assert_control_thread();
      assert_in_coroutine();
      backend_->gate.quiesce();
      heavy_barrier();
      while (!backend_->gate.idle()) co_pause();
      const uint64_t reads = driver_->reads.load();
      const uint64_t writes = driver_->writes.load();
      for (int i = 0; i < 20; ++i) co_pause();
      EXPECT_EQ(driver_->reads.load(), reads);
      EXPECT_EQ(driver_->writes.load(), writes);
      backend_->gate.resume();
      ++drains;
    });
  }
  load.join();
  EXPECT_GT(drains, 0);
  EXPECT_EQ(requests_.load(), uint64_t{kThreads} * 400);
}

}  // namespace
}  // namespace penstock
