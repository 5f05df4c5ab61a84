// SPDX-License-Identifier: Apache-2.0
#include "block/node/request_tracker.h"

#include "base/sync_point.h"
#include "iothreads/coroutine.h"

namespace penstock {
namespace {

// Requests that a phase outlives its last serialising one by: a guest that writes unaligned does so
// again, and each switch costs a barrier and a wait.
constexpr unsigned kLingeringRequests = 256;

unsigned current_slot() { return Coroutine::self()->context()->slot(); }

}  // namespace

RequestTracker::Ticket::Ticket(RequestTracker& tracker, ByteRange range)
    : tracker_(tracker), range_(range), serialising_(false) {
  // The first look keeps requests of the tracked phase from disturbing the count of the untracked.
  if (!tracker.tracking_.load(std::memory_order_acquire)) [[likely]] {
    const unsigned slot = current_slot();
    tracker.counters_.begin_untracked(slot);
    light_barrier();
    PENSTOCK_SYNC_POINT("tracker:before-look");
    if (!tracker.tracking_.load(std::memory_order_acquire)) [[likely]]
      return;
    tracker.counters_.end_untracked(slot);
    tracker.wake_after_untracked();
  }
  tracker.co_enter_tracked(*this);
}

RequestTracker::Ticket::Ticket(RequestTracker& tracker, ByteRange range, Serialising /*tag*/)
    : tracker_(tracker), range_(range), serialising_(true) {
  tracker.co_enter_tracked(*this);
}

RequestTracker::Ticket::~Ticket() {
  if (tracked_) {
    tracker_.leave_tracked(*this);
    return;
  }
  tracker_.counters_.end_untracked(current_slot());
  tracker_.wake_after_untracked();
}

void RequestTracker::wake_after_untracked() {
  // Pairs with the heavy barrier of who raised the flag: either the flag is seen here, or the end
  // of this request there.
  light_barrier();
  if (!tracking_.load(std::memory_order_relaxed)) [[likely]]
    return;
  const ThreadLock lock(mutex_);
  changed_.wake_all();
}

void RequestTracker::co_enter_tracked(Ticket& ticket) {
  bool looks_for_untracked = false;
  {
    const ThreadLock lock(mutex_);
    if (ticket.serialising_) {
      ++serialising_;
      linger_ = kLingeringRequests;
      if (!tracking_.load(std::memory_order_relaxed)) {
        untracked_may_run_ = true;
        tracking_.store(true, std::memory_order_seq_cst);
      }
      looks_for_untracked = untracked_may_run_;
    }
    // An ordinary request is listed even if the phase has ended since it looked: nobody minds, and
    // a serialising one that comes next finds it.
    ticket.tracked_ = true;
    ticket.previous_ = newest_;
    (newest_ != nullptr ? newest_->next_ : oldest_) = &ticket;
    newest_ = &ticket;
  }
  // Between raising the flag and looking; outside the lock, since it is a system call.
  if (looks_for_untracked) heavy_barrier();

  const ThreadLock lock(mutex_);
  while (conflicts_with_older(ticket) || (looks_for_untracked && untracked_run())) {
    changed_.co_wait(mutex_);
  }
}

bool RequestTracker::untracked_run() {
  // Once empty it stays so for this phase: whoever counts itself later sees the flag and goes back.
  if (untracked_may_run_ && counters_.untracked_idle()) untracked_may_run_ = false;
  return untracked_may_run_;
}

void RequestTracker::leave_tracked(Ticket& ticket) {
  const ThreadLock lock(mutex_);
  (ticket.previous_ != nullptr ? ticket.previous_->next_ : oldest_) = ticket.next_;
  (ticket.next_ != nullptr ? ticket.next_->previous_ : newest_) = ticket.previous_;
  if (ticket.serialising_) {
    --serialising_;
  } else if (serialising_ == 0 && tracking_.load(std::memory_order_relaxed)) {
    if (linger_ > 0) --linger_;
    if (linger_ == 0) tracking_.store(false, std::memory_order_release);
  }
  changed_.wake_all();
}

bool RequestTracker::conflicts_with_older(const Ticket& ticket) {
  if (serialising_ == 0) return false;
  for (const Ticket* older = ticket.previous_; older != nullptr; older = older->previous_) {
    if ((ticket.serialising_ || older->serialising_) && ticket.range_.overlaps(older->range_)) {
      return true;
    }
  }
  return false;
}

}  // namespace penstock
