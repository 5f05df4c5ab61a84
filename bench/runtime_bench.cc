// SPDX-License-Identifier: Apache-2.0
// What the runtime costs: a coroutine's switch and life, and a wake-up across threads.
#include <benchmark/benchmark.h>

#include <memory>

#include "iothreads/aio_context.h"
#include "iothreads/co_event.h"
#include "iothreads/co_mutex.h"
#include "iothreads/iothread.h"
#include "iothreads/run_sync.h"

namespace penstock {
namespace {

std::unique_ptr<IoThread> must_start(const char* name) {
  auto thread = IoThread::start(name);
  if (!thread.ok()) std::abort();
  return std::move(*thread);
}

// Out of the coroutine, through the loop, and back in.
void coroutine_switch(benchmark::State& state) {
  const auto thread = must_start("bench");
  run_sync(thread->context(), [&] {
    assert_in_coroutine();
    for (auto _ : state) co_pause();
  });
}
BENCHMARK(coroutine_switch)->UseRealTime();

void coroutine_life(benchmark::State& state) {
  const auto thread = must_start("bench");
  run_sync(thread->context(), [&] {
    assert_in_coroutine();
    uint64_t ran = 0;
    for (auto _ : state) {
      thread->context().spawn("bench", [&ran] { ++ran; });
      co_pause();
    }
    benchmark::DoNotOptimize(ran);
  });
}
BENCHMARK(coroutine_life)->UseRealTime();

// One coroutine hops to another thread and back: two wake-ups of a sleeping or spinning loop.
void hop_and_back(benchmark::State& state) {
  const auto here = must_start("here");
  const auto there = must_start("there");
  run_sync(here->context(), [&] {
    assert_in_coroutine();
    for (auto _ : state) {
      co_reschedule_self(there->context());
      co_reschedule_self(here->context());
    }
  });
}
BENCHMARK(hop_and_back)->UseRealTime();

void uncontended_co_mutex(benchmark::State& state) {
  const auto thread = must_start("bench");
  run_sync(thread->context(), [&] {
    assert_in_coroutine();
    CoMutex mutex;
    for (auto _ : state) {
      const CoMutexLock lock(mutex);
    }
  });
}
BENCHMARK(uncontended_co_mutex)->UseRealTime();

}  // namespace
}  // namespace penstock

BENCHMARK_MAIN();
