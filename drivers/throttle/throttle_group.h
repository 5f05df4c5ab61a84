// SPDX-License-Identifier: Apache-2.0
// Limits that several nodes share, and the requests that wait for them.
//
// Requests of one node and direction go first in first out; nodes take turns, and so do reads and
// writes where a total holds back both. One waiting request of each direction, the timekeeper,
// sleeps on its own context's timer; whoever takes the lock lets go everything that is due.
//
// Ownership: shared by its members (one a throttle node) and the list of groups.
// Threads: requests in coroutines on any context; the rest on the control thread.
// Errors: none.
// Invariants: a request that is not limited writes nothing shared and takes no lock. No request is
//   passed over for ever. If requests of a direction wait, exactly one of them is its timekeeper.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/thread_roles.h"
#include "drivers/throttle/throttle_limits.h"
#include "drivers/throttle/token_bucket.h"
#include "iothreads/thread_mutex.h"

namespace penstock {

class ThrottleGroup {
 public:
  ThrottleGroup(std::string group_name, const ThrottleLimits& limits);
  ThrottleGroup(const ThrottleGroup&) = delete;
  ThrottleGroup& operator=(const ThrottleGroup&) = delete;
  ~ThrottleGroup();

  const std::string name;

  ThrottleLimits limits();
  // All buckets start empty; who waits is looked at again. REQUIRES: an event loop runs here.
  void set_limits(const ThrottleLimits& limits);
  // The nodes that are members.
  std::vector<std::string> users();
  // Requests that wait now.
  uint64_t waiting();

 private:
  friend class ThrottleMember;
  struct Waiter;
  // What a member has here.
  struct Queue {
    Waiter* head = nullptr;
    Waiter* tail = nullptr;
  };
  struct Place {
    std::string node_name;
    int rushes = 0;  // > 0: nothing of it waits
    std::array<Queue, kThrottleDirections> queues;
  };
  // All that waits in one direction.
  struct Line {
    uint64_t waiting = 0;
    size_t turn = 0;  // place to begin with when the next one is chosen
    Waiter* timekeeper = nullptr;
  };

  bool limits_direction(ThrottleDirection direction) const {
    return (limited_.load(std::memory_order_relaxed) & (1u << static_cast<unsigned>(direction))) !=
           0;
  }
  Place* join(std::string node_name);
  void leave(Place* place);
  void co_pass(Place& place, ThrottleDirection direction, uint64_t bytes) COROUTINE_CODE;
  void begin_rush(Place& place);
  void end_rush(Place& place);

  bool passes_at_once(const Place& place, ThrottleDirection direction, uint64_t bytes,
                      Nanoseconds now) REQUIRES_ROLE(mutex_);
  Nanoseconds ready_at(ThrottleDirection direction) const REQUIRES_ROLE(mutex_);
  void charge(ThrottleDirection direction, uint64_t bytes, Nanoseconds now) REQUIRES_ROLE(mutex_);
  void admit_due(Nanoseconds now) REQUIRES_ROLE(mutex_);
  bool admit_next(ThrottleDirection direction, Nanoseconds now) REQUIRES_ROLE(mutex_);
  void admit_first(Place& place, ThrottleDirection direction, Nanoseconds now)
      REQUIRES_ROLE(mutex_);
  // Of the first place that waits, from the line's turn on. REQUIRES: one waits.
  size_t index_in_turn(const Line& line, ThrottleDirection direction) const REQUIRES_ROLE(mutex_);
  void appoint_timekeepers() REQUIRES_ROLE(mutex_);
  Line& line(ThrottleDirection direction) REQUIRES_ROLE(mutex_) {
    return lines_[static_cast<size_t>(direction)];
  }

  // A bit for each direction. Read by every request: apart from what waiting requests write.
  alignas(64) std::atomic<unsigned> limited_{0};
  alignas(64) ThreadMutex mutex_{"ThrottleGroup"};
  ThrottleLimits limits_ GUARDED_BY(mutex_);
  std::array<TokenBucket, kThrottleKinds> buckets_ GUARDED_BY(mutex_);
  std::vector<std::unique_ptr<Place>> places_ GUARDED_BY(mutex_);
  std::array<Line, kThrottleDirections> lines_ GUARDED_BY(mutex_);
  ThrottleDirection served_last_ GUARDED_BY(mutex_) = ThrottleDirection::kWrite;
};

// One node's membership.
//
// Ownership: its node's driver owns it; no request is inside when it goes.
// Threads: co_pass in a coroutine on any context; the rest on the control thread.
class ThrottleMember {
 public:
  ThrottleMember(std::shared_ptr<ThrottleGroup> group, std::string node_name);
  ThrottleMember(const ThrottleMember&) = delete;
  ThrottleMember& operator=(const ThrottleMember&) = delete;
  ~ThrottleMember();

  const ThrottleGroup& group() const { return *group_; }

  // Waits until a request of so many bytes may go.
  void co_pass(ThrottleDirection direction, uint64_t bytes) COROUTINE_CODE {
    if (group_->limits_direction(direction)) group_->co_pass(*place_, direction, bytes);
  }

  // From begin to end nothing of this member waits: neither what is there nor what comes. It still
  // counts, so that others and later requests make up for it. Nests.
  void begin_rush() { group_->begin_rush(*place_); }
  void end_rush() { group_->end_rush(*place_); }

 private:
  const std::shared_ptr<ThrottleGroup> group_;
  ThrottleGroup::Place* const place_;
};

}  // namespace penstock
