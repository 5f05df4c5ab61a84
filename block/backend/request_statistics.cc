// SPDX-License-Identifier: Apache-2.0
#include "block/backend/request_statistics.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace penstock {
namespace {

constexpr int64_t kForEver = std::numeric_limits<int64_t>::max();

constexpr unsigned index_of(RequestKind kind) { return static_cast<unsigned>(kind); }

}  // namespace

RequestTotals& RequestTotals::operator+=(const RequestTotals& other) {
  for (unsigned i = 0; i < kRequestKinds; ++i) {
    kinds[i].operations += other.kinds[i].operations;
    kinds[i].failed += other.kinds[i].failed;
    kinds[i].bytes += other.kinds[i].bytes;
    kinds[i].time_ns += other.kinds[i].time_ns;
  }
  highest_write = std::max(highest_write, other.highest_write);
  return *this;
}

RequestStatistics::~RequestStatistics() {
  for (auto& histogram : histograms_) delete histogram.load(std::memory_order_acquire);
}

Nanoseconds RequestStatistics::start_time_if_before(int64_t until) {
  const Nanoseconds now = Coroutine::self()->context()->now();
  if (now.count() < until) return now;
  // Unless somebody asked again meanwhile.
  timed_until_.compare_exchange_strong(until, 0, std::memory_order_relaxed);
  return kUntimed;
}

void RequestStatistics::count_time(const AioContext& context, RequestKind kind, Nanoseconds begin) {
  const Nanoseconds taken = std::max(context.now() - begin, Nanoseconds(0));
  const uint64_t nanoseconds = static_cast<uint64_t>(taken.count());
  raise(slots_[context.slot()].time_ns[index_of(kind)], nanoseconds);
  LatencyHistogram* const histogram = histograms_[index_of(kind)].load(std::memory_order_acquire);
  if (histogram != nullptr) histogram->count(context.slot(), nanoseconds);
}

RequestTotals RequestStatistics::totals() const {
  RequestTotals totals;
  for (const Slot& slot : slots_) {
    for (unsigned i = 0; i < kRequestKinds; ++i) {
      RequestTotals::Kind& kind = totals.kinds[i];
      kind.operations += slot.operations[i].load(std::memory_order_relaxed);
      kind.failed += slot.failed[i].load(std::memory_order_relaxed);
      kind.time_ns += slot.time_ns[i].load(std::memory_order_relaxed);
      if (i < std::size(slot.bytes)) kind.bytes += slot.bytes[i].load(std::memory_order_relaxed);
    }
    totals.highest_write =
        std::max(totals.highest_write, slot.highest_write.load(std::memory_order_relaxed));
  }
  return totals;
}

void RequestStatistics::measure(Nanoseconds now) {
  const int64_t wanted = (now + kMeasuredFor).count();
  int64_t until = timed_until_.load(std::memory_order_relaxed);
  while (until < wanted &&
         !timed_until_.compare_exchange_weak(until, wanted, std::memory_order_relaxed)) {
  }
}

const LatencyHistogram* RequestStatistics::histogram(RequestKind kind) const {
  return histograms_[index_of(kind)].load(std::memory_order_acquire);
}

std::unique_ptr<LatencyHistogram> RequestStatistics::exchange_histogram(
    RequestKind kind, std::unique_ptr<LatencyHistogram> histogram, Nanoseconds now) {
  std::unique_ptr<LatencyHistogram> former(
      histograms_[index_of(kind)].exchange(histogram.release(), std::memory_order_acq_rel));
  const bool any = std::any_of(histograms_.begin(), histograms_.end(), [](const auto& one) {
    return one.load(std::memory_order_relaxed) != nullptr;
  });
  timed_until_.store(any ? kForEver : (now + kMeasuredFor).count(), std::memory_order_relaxed);
  return former;
}

}  // namespace penstock
