// SPDX-License-Identifier: Apache-2.0
// What the requests of a backend did: how many, how much, how long.
//
// Counts and bytes are always kept. Time is kept only while somebody wants it, since reading the
// clock twice costs more than everything else here (docs/decisions/0030): for a while after
// somebody asked, and for as long as there is a histogram.
//
// Ownership: embedded in a backend, and freed with it.
// Threads: start_time() and count() in a coroutine on any context, in the own context's slot;
//   totals() by anyone; the rest on the control thread.
// Errors: none.
// Invariants: each line of counters is written by one context alone; a sum over them may miss what
//   happens during the walk and nothing else. Requests write no line that others read, except when
//   the time to measure has run out: one of them turns it off.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>

#include "base/byte_range.h"
#include "base/thread_roles.h"
#include "block/backend/latency_histogram.h"
#include "block/node/in_flight.h"
#include "iothreads/aio_context.h"
#include "iothreads/coroutine.h"

namespace penstock {

// The kinds that statistics tell apart. A zeroing is a write, or kUnmap if it may free space.
enum class RequestKind : uint8_t { kRead, kWrite, kUnmap, kFlush };
inline constexpr unsigned kRequestKinds = 4;

// Sums over all contexts, or over several backends.
struct RequestTotals {
  struct Kind {
    uint64_t operations = 0;  // that succeeded
    uint64_t failed = 0;
    uint64_t bytes = 0;    // of those that succeeded
    uint64_t time_ns = 0;  // of all that were timed
  };
  std::array<Kind, kRequestKinds> kinds;
  uint64_t highest_write = 0;  // the end of the highest write, in bytes

  const Kind& of(RequestKind kind) const { return kinds[static_cast<unsigned>(kind)]; }
  RequestTotals& operator+=(const RequestTotals& other);
};

class RequestStatistics {
 public:
  // A request's begin when nobody wants time.
  static constexpr Nanoseconds kUntimed{0};
  // So long after a question requests are timed: longer than any usual interval between questions,
  // so that the differences between two answers are of the same requests.
  static constexpr Nanoseconds kMeasuredFor = std::chrono::minutes(5);

  RequestStatistics() = default;
  RequestStatistics(const RequestStatistics&) = delete;
  RequestStatistics& operator=(const RequestStatistics&) = delete;
  ~RequestStatistics();

  // When the request begins: the clock of the context where it runs, or kUntimed.
  Nanoseconds start_time() COROUTINE_CODE {
    const int64_t until = timed_until_.load(std::memory_order_relaxed);
    return until == 0 ? kUntimed : start_time_if_before(until);
  }
  // When it has ended, on the context where it ended. `begin` is from start_time().
  void count(RequestKind kind, ByteRange range, bool succeeded, Nanoseconds begin) COROUTINE_CODE {
    const AioContext& context = *Coroutine::self()->context();
    Slot& slot = slots_[context.slot()];
    if (succeeded) [[likely]] {
      raise(slot.operations[static_cast<unsigned>(kind)]);
      if (kind != RequestKind::kFlush) raise(slot.bytes[static_cast<unsigned>(kind)], range.length);
      if (kind == RequestKind::kWrite) slot.raise_highest_write(range.end());
    } else {
      raise(slot.failed[static_cast<unsigned>(kind)]);
    }
    if (begin != kUntimed) [[unlikely]]
      count_time(context, kind, begin);
  }

  RequestTotals totals() const;

  // Requests are timed for kMeasuredFor from `now` on, or longer.
  void measure(Nanoseconds now) GLOBAL_STATE_CODE;
  bool measures() const { return timed_until_.load(std::memory_order_relaxed) != 0; }

  // nullptr if there is none. Of kUnmap there never is one.
  const LatencyHistogram* histogram(RequestKind kind) const GLOBAL_STATE_CODE;
  // Takes the place of the former one, which the caller frees after co_pass_all_contexts().
  [[nodiscard]] std::unique_ptr<LatencyHistogram> exchange_histogram(
      RequestKind kind, std::unique_ptr<LatencyHistogram> histogram,
      Nanoseconds now) GLOBAL_STATE_CODE;

 private:
  // All that an untimed request that succeeds writes is on the first line.
  struct alignas(64) Slot {
    std::atomic<uint64_t> operations[kRequestKinds] = {};
    std::atomic<uint64_t> bytes[kRequestKinds - 1] = {};  // a flush has none
    std::atomic<uint64_t> highest_write{0};
    std::atomic<uint64_t> time_ns[kRequestKinds] = {};
    std::atomic<uint64_t> failed[kRequestKinds] = {};

    void raise_highest_write(uint64_t end) {
      if (end <= highest_write.load(std::memory_order_relaxed)) return;
      highest_write.store(end, std::memory_order_relaxed);
    }
  };
  static_assert(sizeof(Slot) == 128);

  Nanoseconds start_time_if_before(int64_t until) COROUTINE_CODE;
  void count_time(const AioContext& context, RequestKind kind, Nanoseconds begin) COROUTINE_CODE;

  std::array<Slot, kMaxContexts> slots_;
  // Read by every request, written when somebody asks.
  alignas(64) std::atomic<int64_t> timed_until_{0};  // nanoseconds; 0: nothing is timed
  std::array<std::atomic<LatencyHistogram*>, kRequestKinds> histograms_{};
};

}  // namespace penstock
