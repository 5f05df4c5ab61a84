// SPDX-License-Identifier: Apache-2.0
// A steady 4 KiB read allocates nothing: operator new is interposed and counted in the threads that
// serve the mount.
#include <pthread.h>
#include <stdlib.h>

#include <atomic>
#include <cstring>
#include <new>
#include <thread>

#include "base/aligned_buffer.h"
#include "tests/fuse/mounted_test.h"

namespace {

std::atomic<uint64_t> allocations_in_queues{0};
std::atomic<bool> counting{false};

void count_allocation() {
  if (!counting.load(std::memory_order_relaxed)) return;
  char name[16] = {};
  pthread_getname_np(pthread_self(), name, sizeof(name));
  // The fixture's IoThreads are named io0 and io1.
  if (strncmp(name, "io", 2) == 0) allocations_in_queues.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace

[[gnu::noinline]] void* operator new(size_t size) {
  count_allocation();
  void* memory = malloc(size);
  if (memory == nullptr) abort();
  return memory;
}
[[gnu::noinline]] void* operator new(size_t size, std::align_val_t alignment) {
  count_allocation();
  void* memory = nullptr;
  if (posix_memalign(&memory, static_cast<size_t>(alignment), size) != 0) abort();
  return memory;
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { free(memory); }
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept { free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::align_val_t) noexcept { free(memory); }
[[gnu::noinline]] void operator delete(void* memory, size_t, std::align_val_t) noexcept {
  free(memory);
}

namespace penstock {
namespace {

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
  for (const bool writes : {false, true}) {
    writes_ = writes;
    // Pools fill up to what this many threads need.
    read_many(300);
    allocations_in_queues = 0;
    reads_ = 0;
    counting = true;
    read_many(1000);
    counting = false;
    EXPECT_EQ(reads_.load(), 4000u);
    // The four opens and the closes look at attributes; the requests themselves allocate nothing.
    EXPECT_LE(allocations_in_queues.load(), 40u) << (writes ? "writing" : "reading");
  }
}

}  // namespace
}  // namespace penstock
