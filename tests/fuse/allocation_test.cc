// SPDX-License-Identifier: Apache-2.0
// A steady 4 KiB read allocates nothing: operator new is interposed and counted in the threads that
// serve the mount.
#include <pthread.h>

#include <atomic>
#include <cstring>
#include <thread>

#include "base/aligned_buffer.h"
#include "tests/fuse/mounted_test.h"
#include "tests/support/interposed_allocator.h"

namespace penstock {
namespace {

// The fixture's IoThreads are named io0 and io1.
bool serves_the_mount() {
  char name[16] = {};
  pthread_getname_np(pthread_self(), name, sizeof(name));
  return strncmp(name, "io", 2) == 0;
}

class Allocation : public MountedTest {
 protected:
  void read_many(int count) {
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([this, count] {
        const UniqueFd fd = open_file(O_RDWR | O_DIRECT);
        AlignedBuffer buffer(4096, 4096);
        for (int j = 0; j < count; ++j) {
          ASSERT_EQ(pread(fd.get(), buffer.data(), 4096, j % 1000 * 4096), 4096);
          if (writes_) {
            ASSERT_EQ(pwrite(fd.get(), buffer.data(), 4096, j % 1000 * 4096), 4096);
          }
          reads_.fetch_add(1, std::memory_order_relaxed);
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
  }

  std::atomic<uint64_t> reads_{0};
  bool writes_ = false;
};

TEST_F(Allocation, ASteadyReadOrWriteAllocatesNothing) {
  start();
  count_allocations_where(serves_the_mount);
  for (const bool writes : {false, true}) {
    writes_ = writes;
    // Pools fill up to what this many threads need.
    read_many(300);
    const uint64_t before = counted_allocations();
    reads_ = 0;
    read_many(1000);
    EXPECT_EQ(reads_.load(), 4000u);
    // The four opens and the closes look at attributes; the requests themselves allocate nothing.
    EXPECT_LE(counted_allocations() - before, 40u) << (writes ? "writing" : "reading");
  }
}

}  // namespace
}  // namespace penstock
