// SPDX-License-Identifier: Apache-2.0
#include "block/node/in_flight.h"

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "iothreads/fatal.h"

#if defined(__SANITIZE_THREAD__)
#define PENSTOCK_THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define PENSTOCK_THREAD_SANITIZER 1
#endif
#endif

namespace penstock {
namespace {

enum class Barriers : int { kUnknown, kMembarrier, kFences };

std::atomic<Barriers> barriers{Barriers::kUnknown};

void full_fence() {
#if defined(PENSTOCK_THREAD_SANITIZER)
  // The sanitizer does not know fences. A local variable orders this thread's accesses, and unlike
  // a shared one hides no race between threads.
  std::atomic<int> local{0};
  local.exchange(1, std::memory_order_seq_cst);
#else
  std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
}

long membarrier(int command) { return ::syscall(SYS_membarrier, command, 0, 0); }

bool register_membarrier() { return membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) == 0; }

// Decides once, the same for every thread: both sides of a pair must agree.
[[gnu::noinline]] Barriers choose_barriers() {
#if defined(PENSTOCK_THREAD_SANITIZER)
  const Barriers choice = Barriers::kFences;
#else
  const Barriers choice = register_membarrier() ? Barriers::kMembarrier : Barriers::kFences;
#endif
  Barriers expected = Barriers::kUnknown;
  barriers.compare_exchange_strong(expected, choice, std::memory_order_seq_cst);
  return barriers.load(std::memory_order_seq_cst);
}

Barriers chosen_barriers() {
  const Barriers chosen = barriers.load(std::memory_order_relaxed);
  return chosen != Barriers::kUnknown ? chosen : choose_barriers();
}

}  // namespace

void light_barrier() {
  if (chosen_barriers() == Barriers::kMembarrier) {
    std::atomic_signal_fence(std::memory_order_seq_cst);
  } else {
    full_fence();
  }
}

void heavy_barrier() {
  full_fence();
  if (chosen_barriers() != Barriers::kMembarrier) return;
  if (membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) == 0) return;
  // A forked child is not registered yet.
  if (register_membarrier() && membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) == 0) return;
  // The other threads rely on it already: going on would lose requests.
  fatal("membarrier worked at start and fails now");
}

void InFlightCounters::end(unsigned slot) {
  raise(slots_[slot].ended);
  light_barrier();
  if (waiters_.load(std::memory_order_relaxed) != 0) [[unlikely]] {
    drain_event().set();
  }
}

void InFlightCounters::end_untracked(unsigned slot) { raise(slots_[slot].untracked_ended); }

bool InFlightCounters::idle() const { return in_flight() == 0; }

uint64_t InFlightCounters::in_flight() const {
  // Every `ended` first: a request that is missed here and counted below only makes the result
  // larger, so that zero is never a mistake.
  uint64_t ended = 0;
  for (const auto& slot : slots_) ended += slot.ended.load(std::memory_order_acquire);
  uint64_t begun = 0;
  for (const auto& slot : slots_) begun += slot.begun.load(std::memory_order_acquire);
  return begun - ended;
}

bool InFlightCounters::untracked_idle() const {
  uint64_t ended = 0;
  for (const auto& slot : slots_) ended += slot.untracked_ended.load(std::memory_order_acquire);
  uint64_t begun = 0;
  for (const auto& slot : slots_) begun += slot.untracked_begun.load(std::memory_order_acquire);
  return begun == ended;
}

uint64_t InFlightCounters::writes_completed() const {
  uint64_t sum = 0;
  for (const auto& slot : slots_) sum += slot.writes_completed.load(std::memory_order_acquire);
  return sum;
}

CoEvent& drain_event() {
  static CoEvent* const event = new CoEvent;  // outlives every thread
  return *event;
}

}  // namespace penstock
