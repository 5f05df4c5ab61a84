// SPDX-License-Identifier: Apache-2.0
// Requests in flight, counted per context by two monotonic counters.
//
// A request is in flight while `begun` has been raised for it and `ended` has not. It may end on
// another context than it began on, so only the sums mean something: who reads every `ended` first
// and every `begun` then, and finds the sums equal, saw an idle moment.
//
// Ownership: embedded in a node or a gate. After a request raised `ended` it may still read this
//   object (the waiters' flag) until its context has turned its loop; so free it only after
//   co_pass_all_contexts().
// Threads: begin() and end() on the own context's slot only; idle() and sums by anyone.
// Errors: none.
// Invariants: each line is written by one context alone. Counters survive the reuse of a slot.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "iothreads/aio_context.h"
#include "iothreads/co_event.h"

namespace penstock {

// The barrier between "counted" and "looked": cheap here, paid for by heavy_barrier().
void light_barrier();
// Orders all other threads' light barriers against this point (membarrier, or a fence).
void heavy_barrier();

struct alignas(64) ContextCounters {
  std::atomic<uint64_t> begun{0};
  std::atomic<uint64_t> ended{0};
  std::atomic<uint64_t> untracked_begun{0};  // requests that passed without overlap tracking
  std::atomic<uint64_t> untracked_ended{0};
  std::atomic<uint64_t> writes_completed{0};  // for flush generations
  std::atomic<uint64_t> requests{0};          // statistics
  std::atomic<uint64_t> bytes{0};             // statistics
};
static_assert(sizeof(ContextCounters) == 64 && alignof(ContextCounters) == 64,
              "a context's counters fill exactly one cache line");

// Raises a counter that only this thread writes.
inline void raise(std::atomic<uint64_t>& counter, uint64_t by = 1) {
  counter.store(counter.load(std::memory_order_relaxed) + by, std::memory_order_release);
}

class InFlightCounters {
 public:
  void begin(unsigned slot) { raise(slots_[slot].begun); }
  // Raises `ended`, then wakes a drainer that waits.
  void end(unsigned slot);

  // True if at some moment during the call nothing was in flight.
  bool idle() const;
  uint64_t in_flight() const;

  // The same for requests that run without overlap tracking; RequestTracker wakes who waits for it.
  void begin_untracked(unsigned slot) { raise(slots_[slot].untracked_begun); }
  void end_untracked(unsigned slot);
  bool untracked_idle() const;

  ContextCounters& slot(unsigned index) { return slots_[index]; }
  uint64_t writes_completed() const;

  // A drainer announces itself before it looks, so that end() wakes drain_event().
  void add_waiter() { waiters_.fetch_add(1, std::memory_order_seq_cst); }
  void remove_waiter() { waiters_.fetch_sub(1, std::memory_order_seq_cst); }

 private:
  std::array<ContextCounters, kMaxContexts> slots_;
  // Read on every end, written by drainers only.
  alignas(64) std::atomic<uint32_t> waiters_{0};
};

// Set whenever a request ends in something that a waiter was announced on. Process-wide, never
// destroyed. Waiters are on the control thread only: heavy_barrier(), then reset, look and wait
// without a yield between (another waiter's reset would take the wake-up away).
CoEvent& drain_event();

}  // namespace penstock
