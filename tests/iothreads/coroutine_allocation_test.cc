// SPDX-License-Identifier: Apache-2.0
// Counts this program's heap allocations: steady work of the runtime makes none.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "iothreads/co_mutex.h"
#include "tests/iothreads/test_threads.h"

namespace {

std::atomic<uint64_t> allocations{0};

void* counted_allocation(size_t size, size_t alignment) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  void* const memory =
      alignment <= alignof(std::max_align_t)
          ? std::malloc(size)
          : std::aligned_alloc(alignment, (size + alignment - 1) & ~(alignment - 1));
  if (memory == nullptr) std::abort();
  return memory;
}

}  // namespace

// Out of line, or gcc takes free() for a mismatch with the new that it sees inlined.
[[gnu::noinline]] void* operator new(size_t size) { return counted_allocation(size, 1); }
[[gnu::noinline]] void* operator new[](size_t size) { return counted_allocation(size, 1); }
[[gnu::noinline]] void* operator new(size_t size, std::align_val_t alignment) {
  return counted_allocation(size, static_cast<size_t>(alignment));
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete[](void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete[](void* memory, size_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::align_val_t) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, size_t, std::align_val_t) noexcept {
  std::free(memory);
}

namespace penstock {
namespace {

// What `work` allocates once it has run often enough to have filled every pool.
template <typename F>
uint64_t steady_allocations(const F& work) {
  for (int i = 0; i < 100; ++i) work();
  const uint64_t before = allocations.load();
  for (int i = 0; i < 1000; ++i) work();
  return allocations.load() - before;
}

TEST(Allocations, StartingAndEndingACoroutineMakesNone) {
  const auto iothread = start_iothread("io");
  const uint64_t count = run_sync(iothread->context(), [] {
    assert_in_coroutine();
    return steady_allocations([] {
      assert_in_coroutine();
      Coroutine* const parent = Coroutine::self();
      AioContext* const context = parent->context();
      context->spawn("child", [parent, context] { context->schedule(parent); });
      co_yield_self();
    });
  });
  EXPECT_EQ(count, 0u);
}

TEST(Allocations, BurstsOfCoroutinesMakeNone) {
  const auto iothread = start_iothread("io");
  const uint64_t count = run_sync(iothread->context(), [] {
    assert_in_coroutine();
    return steady_allocations([] {
      assert_in_coroutine();
      AioContext* const context = Coroutine::self()->context();
      for (int i = 0; i < 64; ++i) {
        context->spawn("child", [] {
          assert_in_coroutine();
          co_pause();
        });
      }
      co_pause();
      co_pause();
      co_pause();
    });
  });
  EXPECT_EQ(count, 0u);
}

TEST(Allocations, OperationsAndMovesAndLocksMakeNone) {
  const auto iothreads = start_iothreads(2);
  CoMutex mutex;
  const uint64_t count = run_sync(iothreads[0]->context(), [&] {
    assert_in_coroutine();
    return steady_allocations([&] {
      assert_in_coroutine();
      const CoMutexLock lock(mutex);
      IoOperation nothing;
      co_perform(nothing);
      co_reschedule_self(iothreads[1]->context());
      co_reschedule_self(iothreads[0]->context());
    });
  });
  EXPECT_EQ(count, 0u);
}

}  // namespace
}  // namespace penstock
