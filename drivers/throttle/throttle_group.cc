// SPDX-License-Identifier: Apache-2.0
#include "drivers/throttle/throttle_group.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "iothreads/aio_context.h"
#include "iothreads/co_event.h"
#include "iothreads/fatal.h"

namespace penstock {
namespace {

constexpr std::array kDirections{ThrottleDirection::kRead, ThrottleDirection::kWrite};

ThrottleDirection other(ThrottleDirection direction) {
  return direction == ThrottleDirection::kRead ? ThrottleDirection::kWrite
                                               : ThrottleDirection::kRead;
}

unsigned limited_directions(const ThrottleLimits& limits) {
  unsigned bits = 0;
  for (const ThrottleDirection direction : kDirections) {
    if (limits.limits(direction)) bits |= 1u << static_cast<unsigned>(direction);
  }
  return bits;
}

Nanoseconds time_now() { return AioContext::current()->now(); }

}  // namespace

// On the stack of the coroutine that waits, which takes the lock before it leaves: whoever wakes it
// does so under the lock.
struct ThrottleGroup::Waiter {
  explicit Waiter(uint64_t request_bytes) : bytes(request_bytes) {}

  void wake() {
    if (std::exchange(asleep, false)) event.set();
  }

  const uint64_t bytes;
  Waiter* next = nullptr;
  bool admitted = false;
  bool asleep = false;
  CoEvent event;
};

ThrottleGroup::ThrottleGroup(std::string group_name, const ThrottleLimits& limits)
    : name(std::move(group_name)), limited_(limited_directions(limits)), limits_(limits) {
  for (size_t i = 0; i < kThrottleKinds; ++i) buckets_[i] = TokenBucket(limits.rates[i]);
}

ThrottleGroup::~ThrottleGroup() {
  const ThreadLock lock(mutex_);
  if (!places_.empty()) fatal("a throttle group is destroyed while nodes use it");
}

ThrottleLimits ThrottleGroup::limits() {
  const ThreadLock lock(mutex_);
  return limits_;
}

void ThrottleGroup::set_limits(const ThrottleLimits& limits) {
  const ThreadLock lock(mutex_);
  limits_ = limits;
  for (size_t i = 0; i < kThrottleKinds; ++i) buckets_[i] = TokenBucket(limits.rates[i]);
  limited_.store(limited_directions(limits), std::memory_order_relaxed);
  admit_due(time_now());
  // Their timers are for the old limits.
  for (const Line& each : lines_) {
    if (each.timekeeper != nullptr) each.timekeeper->wake();
  }
}

std::vector<std::string> ThrottleGroup::users() {
  const ThreadLock lock(mutex_);
  std::vector<std::string> names;
  for (const auto& place : places_) names.push_back(place->node_name);
  return names;
}

uint64_t ThrottleGroup::waiting() {
  const ThreadLock lock(mutex_);
  uint64_t sum = 0;
  for (const Line& each : lines_) sum += each.waiting;
  return sum;
}

ThrottleGroup::Place* ThrottleGroup::join(std::string node_name) {
  const ThreadLock lock(mutex_);
  auto place = std::make_unique<Place>();
  place->node_name = std::move(node_name);
  return places_.emplace_back(std::move(place)).get();
}

void ThrottleGroup::leave(Place* place) {
  const ThreadLock lock(mutex_);
  for (const Queue& queue : place->queues) {
    if (queue.head != nullptr) fatal("a throttle node is destroyed while requests wait in it");
  }
  std::erase_if(places_, [&](const auto& each) { return each.get() == place; });
}

bool ThrottleGroup::passes_at_once(const Place& place, ThrottleDirection direction, uint64_t bytes,
                                   Nanoseconds now) {
  const bool nobody_waits =
      std::all_of(lines_.begin(), lines_.end(), [](const Line& each) { return each.waiting == 0; });
  if (place.rushes == 0 && !(nobody_waits && ready_at(direction) <= now)) return false;
  charge(direction, bytes, now);
  return true;
}

void ThrottleGroup::co_pass(Place& place, ThrottleDirection direction, uint64_t bytes) {
  const AioContext& context = *Coroutine::self()->context();
  Waiter waiter(bytes);
  {
    const ThreadLock lock(mutex_);
    if (passes_at_once(place, direction, bytes, context.now())) return;
    Queue& queue = place.queues[static_cast<size_t>(direction)];
    (queue.tail != nullptr ? queue.tail->next : queue.head) = &waiter;
    queue.tail = &waiter;
    ++line(direction).waiting;
  }
  while (true) {
    std::optional<Nanoseconds> deadline;
    {
      const ThreadLock lock(mutex_);
      waiter.asleep = false;
      waiter.event.reset();
      admit_due(context.now());
      if (waiter.admitted) return;
      if (line(direction).timekeeper == &waiter) deadline = ready_at(direction);
      waiter.asleep = true;
    }
    if (deadline.has_value()) {
      waiter.event.co_wait_until(*deadline);
    } else {
      waiter.event.co_wait();
    }
  }
}

void ThrottleGroup::begin_rush(Place& place) {
  const ThreadLock lock(mutex_);
  ++place.rushes;
  const Nanoseconds now = time_now();
  for (const ThrottleDirection direction : kDirections) {
    while (place.queues[static_cast<size_t>(direction)].head != nullptr) {
      admit_first(place, direction, now);
    }
  }
  appoint_timekeepers();
}

void ThrottleGroup::end_rush(Place& place) {
  const ThreadLock lock(mutex_);
  --place.rushes;
}

Nanoseconds ThrottleGroup::ready_at(ThrottleDirection direction) const {
  Nanoseconds latest = Nanoseconds::min();
  for (const ThrottleKind kind : kinds_of(direction)) {
    latest = std::max(latest, buckets_[static_cast<size_t>(kind)].ready_at());
  }
  return latest;
}

void ThrottleGroup::charge(ThrottleDirection direction, uint64_t bytes, Nanoseconds now) {
  const auto size = static_cast<double>(bytes);
  const uint64_t unit = limits_.iops_size;
  const double operations = unit != 0 && bytes > unit ? size / static_cast<double>(unit) : 1.0;
  for (const ThrottleKind kind : kinds_of(direction)) {
    const bool counts_operations = kind <= ThrottleKind::kIopsWrite;
    buckets_[static_cast<size_t>(kind)].charge(counts_operations ? operations : size, now);
  }
}

void ThrottleGroup::admit_due(Nanoseconds now) {
  // In turns, so that neither direction always comes first at what they share.
  while (admit_next(other(served_last_), now) || admit_next(served_last_, now)) {
  }
  appoint_timekeepers();
}

bool ThrottleGroup::admit_next(ThrottleDirection direction, Nanoseconds now) {
  Line& waiting = line(direction);
  if (waiting.waiting == 0 || ready_at(direction) > now) return false;
  const size_t index = index_in_turn(waiting, direction);
  waiting.turn = index + 1;
  served_last_ = direction;
  admit_first(*places_[index], direction, now);
  return true;
}

void ThrottleGroup::admit_first(Place& place, ThrottleDirection direction, Nanoseconds now) {
  Queue& queue = place.queues[static_cast<size_t>(direction)];
  Waiter& waiter = *queue.head;
  queue.head = waiter.next;
  if (queue.head == nullptr) queue.tail = nullptr;
  Line& waiting = line(direction);
  --waiting.waiting;
  if (waiting.timekeeper == &waiter) waiting.timekeeper = nullptr;
  charge(direction, waiter.bytes, now);
  waiter.admitted = true;
  waiter.wake();
}

size_t ThrottleGroup::index_in_turn(const Line& line, ThrottleDirection direction) const {
  for (size_t i = 0; i < places_.size(); ++i) {
    const size_t index = (line.turn + i) % places_.size();
    if (places_[index]->queues[static_cast<size_t>(direction)].head != nullptr) return index;
  }
  fatal("a throttle group counts requests that are not there");
}

void ThrottleGroup::appoint_timekeepers() {
  for (const ThrottleDirection direction : kDirections) {
    Line& waiting = line(direction);
    if (waiting.waiting == 0 || waiting.timekeeper != nullptr) continue;
    const Place& place = *places_[index_in_turn(waiting, direction)];
    waiting.timekeeper = place.queues[static_cast<size_t>(direction)].head;
    waiting.timekeeper->wake();
  }
}

ThrottleMember::ThrottleMember(std::shared_ptr<ThrottleGroup> group, std::string node_name)
    : group_(std::move(group)), place_(group_->join(std::move(node_name))) {}

ThrottleMember::~ThrottleMember() { group_->leave(place_); }

}  // namespace penstock
