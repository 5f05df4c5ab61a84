// SPDX-License-Identifier: Apache-2.0
// One limit at work: a leaky bucket as a meter.
//
// Each request pours its units into the bucket, which leaks at the average rate. A request may pass
// while the level is at most the bucket's size; it may be larger than what is left, and the next
// ones wait for that. A second bucket holds bursts longer than a second to the maximum rate.
//
// The level is kept as the time at which the bucket will be empty, so that nothing is lost by
// looking often, and a clock that lags on another thread does no harm.
//
// Ownership: a value.
// Threads: its owner's lock.
// Errors: none.
// Invariants: over any time t, at most size + average * t units pass, and one request more.
#pragma once

#include "drivers/throttle/throttle_limits.h"
#include "iothreads/poller.h"

namespace penstock {

class TokenBucket {
 public:
  // Unlimited.
  TokenBucket() = default;
  // Empty.
  explicit TokenBucket(const ThrottleRate& rate);

  // The time from which a request may pass; long ago if it is unlimited.
  Nanoseconds ready_at() const;
  // A request of `units` passes at `now`, whether it may or not.
  void charge(double units, Nanoseconds now);

 private:
  class Meter {
   public:
    Meter() = default;
    // `size` is the bucket's, as time that it takes to leak out.
    Meter(uint64_t units_a_second, Nanoseconds size);
    Nanoseconds ready_at() const;
    void charge(double units, Nanoseconds now);

   private:
    double unit_time_ = 0;  // nanoseconds to leak one unit; 0: unlimited
    Nanoseconds size_{0};
    Nanoseconds empty_at_{0};
    double fraction_ = 0;  // of a nanosecond, to be added to empty_at_
  };

  Meter average_;
  Meter burst_;
};

}  // namespace penstock
