// SPDX-License-Identifier: Apache-2.0
// Overlap tracking of one node's requests. It costs nothing until a serialising request appears.
//
// Untracked phase: a request counts itself and looks at a flag that is hardly ever written. The
// first serialising request (unaligned write, resize, copy-on-read) raises the flag, waits until
// the untracked requests have ended, and belongs to the tracked phase itself, in which every
// request is listed and waits for those that it conflicts with. The phase lingers for some requests
// after the last serialising one.
//
// Ownership: embedded in a node; a ticket lives on its request's coroutine stack.
// Threads: coroutines on any context.
// Errors: none.
// Invariants: two requests conflict iff they overlap and one is serialising. Tickets are served in
//   the order of their coming, so nobody starves and waits form no cycle.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/byte_range.h"
#include "base/thread_roles.h"
#include "block/node/in_flight.h"
#include "iothreads/co_queue.h"
#include "iothreads/thread_mutex.h"

namespace penstock {

class RequestTracker {
 public:
  explicit RequestTracker(InFlightCounters& counters) : counters_(counters) {}
  RequestTracker(const RequestTracker&) = delete;
  RequestTracker& operator=(const RequestTracker&) = delete;

  class Ticket {
   public:
    // An ordinary request.
    Ticket(RequestTracker& tracker, ByteRange range) IO_CODE;
    // A serialising one; the range is already widened to what it touches.
    struct Serialising {};
    Ticket(RequestTracker& tracker, ByteRange range, Serialising) IO_CODE;
    Ticket(const Ticket&) = delete;
    Ticket& operator=(const Ticket&) = delete;
    ~Ticket();

   private:
    friend class RequestTracker;
    RequestTracker& tracker_;
    const ByteRange range_;
    const bool serialising_;
    bool tracked_ = false;
    Ticket* next_ = nullptr;  // by age
    Ticket* previous_ = nullptr;
  };

  // For tests and statistics.
  bool tracked_phase() const { return tracking_.load(std::memory_order_relaxed); }

 private:
  void co_enter_tracked(Ticket& ticket) IO_CODE;
  void leave_tracked(Ticket& ticket);
  bool conflicts_with_older(const Ticket& ticket) REQUIRES_ROLE(mutex_);
  bool untracked_run() REQUIRES_ROLE(mutex_);
  void wake_after_untracked();

  InFlightCounters& counters_;
  std::atomic<bool> tracking_{false};
  ThreadMutex mutex_{"RequestTracker"};
  Ticket* oldest_ GUARDED_BY(mutex_) = nullptr;
  Ticket* newest_ GUARDED_BY(mutex_) = nullptr;
  unsigned serialising_ GUARDED_BY(mutex_) = 0;
  unsigned linger_ GUARDED_BY(mutex_) = 0;
  bool untracked_may_run_ GUARDED_BY(mutex_) = false;  // since the phase began
  CoQueue changed_;
};

}  // namespace penstock
