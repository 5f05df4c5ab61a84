// SPDX-License-Identifier: Apache-2.0
// The timers of one context.
//
// Ownership: timers belong to their users, who cancel them before they go.
// Threads: the context's own thread only.
// Errors: none.
// Invariants: a timer fires at most once per start; not after cancel() has returned. Equal
//   deadlines fire in the order of their starts.
#pragma once

#include <cstdint>
#include <optional>
#include <set>

#include "iothreads/poller.h"

namespace penstock {

struct Timer {
  void (*fire)(Timer*) = nullptr;
  void* owner = nullptr;
  Nanoseconds deadline{0};
  uint64_t sequence = 0;
  bool armed = false;
};

class TimerQueue {
 public:
  // Starts `timer` for `deadline` (the context's clock). REQUIRES: not armed.
  void start(Timer* timer, Nanoseconds deadline);
  void cancel(Timer* timer);
  // Fires all that are due at `now`; true if any was.
  bool fire_due(Nanoseconds now);
  std::optional<Nanoseconds> next_deadline() const;
  bool empty() const { return timers_.empty(); }

 private:
  struct Earlier {
    bool operator()(const Timer* a, const Timer* b) const;
  };
  std::set<Timer*, Earlier> timers_;
  uint64_t next_sequence_ = 0;
};

}  // namespace penstock
