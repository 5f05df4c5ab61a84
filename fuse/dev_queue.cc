// SPDX-License-Identifier: Apache-2.0
#include "fuse/dev_queue.h"

#include <errno.h>
#include <poll.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "base/io_vector.h"
#include "fuse/operations.h"
#include "iothreads/coroutine.h"

namespace penstock {
namespace {

// Requests taken in one turn of the loop, so that completions get their turn too.
constexpr unsigned kMaxBatch = 16;

}  // namespace

absl::StatusOr<std::unique_ptr<DevQueue>> DevQueue::create(Session& session,
                                                           std::shared_ptr<AioContext> context,
                                                           std::shared_ptr<const UniqueFd> fd) {
  absl::StatusOr<std::unique_ptr<SlotPool>> slots = SlotPool::create();
  if (!slots.ok()) return slots.status();
  return std::unique_ptr<DevQueue>(
      new DevQueue(session, std::move(context), std::move(fd), *std::move(slots)));
}

DevQueue::DevQueue(Session& session, std::shared_ptr<AioContext> context,
                   std::shared_ptr<const UniqueFd> fd, std::unique_ptr<SlotPool> slots)
    : session_(session),
      context_(std::move(context)),
      fd_(std::move(fd)),
      slots_(std::move(slots)) {}

void DevQueue::start() {
  if (!leaving_) context_->add_poll_source(this);
}

void DevQueue::leave() {
  if (leaving_) return;
  leaving_ = true;
  if (leaver_running_) return;
  leaver_running_ = true;
  context_->spawn("fuse queue leaves", [this] {
    assert_in_coroutine();
    co_leave();
  });
}

void DevQueue::leave_ended_session() {
  session_.ending.store(true, std::memory_order_relaxed);
  leave();
}

void DevQueue::stay() {
  if (!leaving_) return;
  // After the last request the queue is counted no more.
  if (!leaver_running_ && !session_.add_queue()) return;
  leaving_ = false;
  if (leaver_running_) {
    changed_.set();
    return;
  }
  gone_.reset();
  context_->add_poll_source(this);
}

void DevQueue::co_leave() {
  context_->remove_poll_source(this);
  if (poll_armed_) context_->poller().cancel(&poll_operation_);
  while (leaving_ && (in_service_ > 0 || poll_armed_)) {
    changed_.reset();
    changed_.co_wait();
  }
  leaver_running_ = false;
  if (!leaving_) {
    context_->add_poll_source(this);
    return;
  }
  session_.queue_ended();
  gone_.set();
}

bool DevQueue::poll() {
  if (leaving_) return false;
  unsigned taken = 0;
  while (taken < batch_) {
    const Taken what = take_request();
    if (what == Taken::kSessionGone) {
      leave_ended_session();
      return true;
    }
    if (what == Taken::kNothing) break;
    ++taken;
  }
  // Where requests come one by one, looking for a second one each time costs a system call a
  // request.
  batch_ = taken == batch_ ? std::min(batch_ * 2, kMaxBatch) : std::max(taken, 1u);
  return taken > 0;
}

bool DevQueue::prepare_to_sleep() {
  // Without a free slot nothing can be taken: a poll that fires would only keep the loop awake. The
  // request that returns a slot runs in a turn of the loop, and poll() follows.
  if (!leaving_ && !poll_armed_ && !slots_->exhausted()) arm_poll();
  return true;
}

// The poll looks at the descriptor when it starts, so a request that came since poll() ends it.
void DevQueue::arm_poll() {
  poll_operation_ = IoOperation{};
  poll_operation_.opcode = IoOpcode::kPoll;
  poll_operation_.fd = fd_->get();
  poll_operation_.mode = POLLIN;
  poll_operation_.owner = this;
  poll_operation_.complete = &DevQueue::poll_completed;
  poll_armed_ = true;
  context_->submit(&poll_operation_);
}

void DevQueue::poll_completed(IoOperation* operation) {
  auto* queue = static_cast<DevQueue*>(operation->owner);
  queue->poll_armed_ = false;
  if (queue->leaver_running_) queue->changed_.set();
}

DevQueue::Taken DevQueue::take_request() {
  DevSlot* slot = slots_->take();
  if (slot == nullptr) return Taken::kNothing;
  std::array<iovec, 2> parts = {
      {{slot->head.data(), kWriteDataOffset}, {slot->payload.data(), slot->payload.size()}}};
  const ssize_t length = readv(fd_->get(), parts.data(), parts.size());
  if (length > 0) {
    if (accept(*slot, static_cast<size_t>(length))) return Taken::kRequest;
    slots_->give_back(slot);
    return Taken::kBookkeeping;
  }
  const int error = length < 0 ? errno : ENODEV;
  slots_->give_back(slot);
  switch (error) {
    case EAGAIN:
    case ENOMEM:
      return Taken::kNothing;
    case EINTR:
    case ENOENT:  // the request was taken back by its sender meanwhile
      return Taken::kBookkeeping;
    default:  // ENODEV, and whatever else would come again for ever
      return Taken::kSessionGone;
  }
}

// True if a coroutine serves the request now and has the slot.
bool DevQueue::accept(DevSlot& slot, size_t length) {
  size_t in_head = std::min(length, kWriteDataOffset);
  size_t in_payload = length - in_head;
  slot.payload_touched = std::max(slot.payload_touched, in_payload);
  fuse_in_header header = {};
  memcpy(&header, slot.head.data(), std::min(in_head, sizeof(header)));
  if (header.opcode != FUSE_WRITE) {
    // The head of other requests may be longer: it is put together where there is room.
    const size_t more = std::min(in_payload, slot.head.size() - in_head);
    memcpy(slot.head.data() + in_head, slot.payload.data(), more);
    in_head += more;
    in_payload -= more;
  }
  const DecodeResult decoded = decode_request(slot.head.first(in_head), in_payload, &slot.request);
  slot.session = &session_;
  slot.queue = this;
  if (decoded.error != 0 || !decoded.answerable) {
    if (decoded.answerable) reply(slot, decoded.error, {});
    return false;
  }
  ++in_service_;
  RequestSlot* const taken = &slot;
  context_->spawn("fuse request", [taken] {
    assert_in_coroutine();
    co_serve(*taken);
  });
  return true;
}

void DevQueue::reply(RequestSlot& slot, int error, std::span<const std::byte> body) {
  fuse_out_header header = {};
  header.unique = slot.request.unique;
  header.error = -error;
  header.len = static_cast<uint32_t>(sizeof(header) + (error == 0 ? body.size() : 0));
  std::array<iovec, 2> parts = {{{&header, sizeof(header)}, iovec_of(body)}};
  const int count = error == 0 && !body.empty() ? 2 : 1;
  // A failure says that nobody waits for the reply any more.
  [[maybe_unused]] const ssize_t written = writev(fd_->get(), parts.data(), count);
}

void DevQueue::finish(RequestSlot& slot) {
  slots_->give_back(static_cast<DevSlot*>(&slot));
  --in_service_;
  if (leaver_running_) changed_.set();
}

}  // namespace penstock
