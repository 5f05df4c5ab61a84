// SPDX-License-Identifier: Apache-2.0
#include "block/backend/gate.h"

#include <cassert>
#include <cerrno>

#include "base/status.h"
#include "base/sync_point.h"
#include "iothreads/aio_context.h"
#include "iothreads/control_thread.h"
#include "iothreads/fatal.h"

namespace penstock {
namespace {

absl::Status refuse(RequestTag& tag) {
  tag.operation.store(nullptr, std::memory_order_relaxed);
  return errno_message(ESHUTDOWN, "The backend is being removed and takes no more requests");
}

}  // namespace

// A request that waits, on the stack of its coroutine.
struct Gate::Parked {
  Coroutine* coroutine;
  AioContext* context;  // where it yielded
  bool refused = false;
  Parked* next = nullptr;
};

Gate::~Gate() {
  if (parked() == 0 && idle()) return;
  fatal("a gate is destroyed with requests inside or parked");
}

absl::Status Gate::co_enter(const char* operation, uint64_t offset, uint64_t length) {
  Coroutine& self = *Coroutine::self();
  // Before the count: a drain that sees the count can name the request.
  RequestTag& tag = self.tag();
  tag.operation.store(operation, std::memory_order_relaxed);
  tag.offset.store(offset, std::memory_order_relaxed);
  tag.length.store(length, std::memory_order_relaxed);
  tag.gate.store(this, std::memory_order_relaxed);

  counters_.begin(self.context()->slot());
  PENSTOCK_SYNC_POINT("gate:counted");
  light_barrier();
  if (quiesced_.load(std::memory_order_acquire) || closed_.load(std::memory_order_acquire))
      [[unlikely]] {
    if (auto status = co_enter_slowly(self); !status.ok()) return status;
  }
  ++self.in_flight;
  return absl::OkStatus();
}

absl::Status Gate::co_enter_slowly(Coroutine& self) {
  RequestTag& tag = self.tag();
  tag.gate.store(nullptr, std::memory_order_relaxed);
  counters_.end(self.context()->slot());
  PENSTOCK_SYNC_POINT("gate:before-park-lock");

  Parked parked{&self, self.context()};
  {
    const ThreadLock lock(mutex_);
    if (closed_.load(std::memory_order_relaxed)) return refuse(tag);
    if (!quiesced_.load(std::memory_order_relaxed)) {
      // It ended meanwhile, and nobody would wake this request. The next quiesce() waits for the
      // lock, so that its drain sees the count.
      tag.gate.store(this, std::memory_order_relaxed);
      counters_.begin(self.context()->slot());
      return absl::OkStatus();
    }
    (parked_tail_ != nullptr ? parked_tail_->next : parked_head_) = &parked;
    parked_tail_ = &parked;
  }
  PENSTOCK_SYNC_POINT("gate:parked");
  // Who takes it off the list has counted it in, or refuses it, and schedules it: perhaps by now.
  co_yield_self();
  return parked.refused ? refuse(tag) : absl::OkStatus();
}

void Gate::leave() {
  Coroutine& self = *Coroutine::self();
  assert(self.in_flight > 0);
  --self.in_flight;
  self.tag().gate.store(nullptr, std::memory_order_relaxed);
  self.tag().operation.store(nullptr, std::memory_order_relaxed);
  counters_.end(self.context()->slot());
}

void Gate::quiesce() {
  if (depth_++ > 0) return;
  const ThreadLock lock(mutex_);
  quiesced_.store(true, std::memory_order_seq_cst);
}

void Gate::resume() {
  assert(depth_ > 0);
  if (--depth_ > 0) return;
  Parked* first = nullptr;
  {
    const ThreadLock lock(mutex_);
    first = parked_head_;
    parked_head_ = nullptr;
    parked_tail_ = nullptr;
    // Counted in the control thread's own slot: only the sums mean something.
    const unsigned slot = control_context().slot();
    for (Parked* parked = first; parked != nullptr; parked = parked->next) {
      parked->coroutine->tag().gate.store(this, std::memory_order_relaxed);
      counters_.begin(slot);
    }
    quiesced_.store(false, std::memory_order_release);
  }
  while (first != nullptr) {
    // Once it is scheduled it may end, and its stack with it.
    Parked* const parked = first;
    first = parked->next;
    parked->context->schedule(parked->coroutine);
  }
}

void Gate::close() {
  Parked* first = nullptr;
  {
    const ThreadLock lock(mutex_);
    closed_.store(true, std::memory_order_seq_cst);
    first = parked_head_;
    parked_head_ = nullptr;
    parked_tail_ = nullptr;
  }
  while (first != nullptr) {
    Parked* const parked = first;
    first = parked->next;
    parked->refused = true;
    parked->context->schedule(parked->coroutine);
  }
}

uint64_t Gate::parked() {
  const ThreadLock lock(mutex_);
  uint64_t count = 0;
  for (const Parked* parked = parked_head_; parked != nullptr; parked = parked->next) ++count;
  return count;
}

}  // namespace penstock
