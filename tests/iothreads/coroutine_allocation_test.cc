// SPDX-License-Identifier: Apache-2.0
// Counts this program's heap allocations: steady work of the runtime makes none.
#include <gtest/gtest.h>

#include "iothreads/co_mutex.h"
#include "tests/iothreads/test_threads.h"
#include "tests/support/interposed_allocator.h"

namespace penstock {
namespace {

// What `work` allocates once it has run often enough to have filled every pool.
template <typename F>
uint64_t steady_allocations(const F& work) {
  for (int i = 0; i < 100; ++i) work();
  const uint64_t before = counted_allocations();
  for (int i = 0; i < 1000; ++i) work();
  return counted_allocations() - before;
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
