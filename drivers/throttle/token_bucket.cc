// SPDX-License-Identifier: Apache-2.0
#include "drivers/throttle/token_bucket.h"

#include <algorithm>
#include <cmath>

namespace penstock {
namespace {

constexpr double kNanosecondsASecond = 1e9;
// Longer than anybody waits, and sums of a few of them do not overflow.
constexpr Nanoseconds kForEver{int64_t{1} << 61};
// How far requests may run ahead of a rate without bursts: without that every second request of a
// steady stream would wait.
constexpr Nanoseconds kShortBurst{100'000'000};

Nanoseconds to_nanoseconds(double value) {
  return value < static_cast<double>(kForEver.count()) ? Nanoseconds(static_cast<int64_t>(value))
                                                       : kForEver;
}

Nanoseconds bucket_size(const ThrottleRate& rate) {
  if (rate.maximum == 0) return kShortBurst;
  const double units = static_cast<double>(rate.maximum) * static_cast<double>(rate.length);
  return to_nanoseconds(units * kNanosecondsASecond / static_cast<double>(rate.average));
}

}  // namespace

TokenBucket::Meter::Meter(uint64_t units_a_second, Nanoseconds size)
    : unit_time_(kNanosecondsASecond / static_cast<double>(units_a_second)), size_(size) {}

Nanoseconds TokenBucket::Meter::ready_at() const {
  if (unit_time_ == 0) return Nanoseconds::min();
  return empty_at_ - size_ + Nanoseconds(fraction_ > 0 ? 1 : 0);
}

void TokenBucket::Meter::charge(double units, Nanoseconds now) {
  if (unit_time_ == 0) return;
  if (empty_at_ < now) {
    empty_at_ = now;
    fraction_ = 0;
  }
  const double time = units * unit_time_ + fraction_;
  const double whole = std::floor(time);
  fraction_ = time - whole;
  empty_at_ = std::min(empty_at_ + to_nanoseconds(whole), kForEver + kForEver);
}

TokenBucket::TokenBucket(const ThrottleRate& rate) {
  if (rate.average == 0) return;
  average_ = Meter(rate.average, bucket_size(rate));
  // A burst of one second may come at once; a longer one must not come faster than its maximum.
  if (rate.length > 1) burst_ = Meter(rate.maximum, kShortBurst);
}

Nanoseconds TokenBucket::ready_at() const {
  return std::max(average_.ready_at(), burst_.ready_at());
}

void TokenBucket::charge(double units, Nanoseconds now) {
  average_.charge(units, now);
  burst_.charge(units, now);
}

}  // namespace penstock
