// SPDX-License-Identifier: Apache-2.0
// The /dev/fuse transport: one descriptor of the session, read and answered on one context.
//
// Ownership: the export owns it, and destroys it after it has ended and every context has turned
//   its loop. It owns its descriptor, or shares the session's where there are no clones.
// Threads: reply(), gone() and descriptor() anywhere; the rest on the own context.
// Errors: none that anybody waits for: a session that is gone ends the queue.
// Invariants: taking a request never blocks. A reply goes through the descriptor that its request
//   came from. After Session::queue_ended() no request of the queue is in flight, and neither the
//   loop nor the poller knows it any more.
#pragma once

#include <atomic>
#include <memory>

#include "absl/status/statusor.h"
#include "base/thread_roles.h"
#include "base/unique_fd.h"
#include "fuse/session.h"
#include "fuse/session_io.h"
#include "fuse/slot_pool.h"
#include "iothreads/aio_context.h"
#include "iothreads/co_event.h"
#include "iothreads/io_operation.h"

namespace penstock {

class DevQueue : public SessionQueue, private PollSource {
 public:
  // `fd` is non-blocking.
  static absl::StatusOr<std::unique_ptr<DevQueue>> create(Session& session,
                                                          std::shared_ptr<AioContext> context,
                                                          std::shared_ptr<const UniqueFd> fd);
  DevQueue(const DevQueue&) = delete;
  DevQueue& operator=(const DevQueue&) = delete;
  ~DevQueue() override = default;

  // Serves from now on, unless it is leaving. REQUIRES: the session counts the queue.
  void start();
  // Takes no more requests, lets those in flight finish, then calls Session::queue_ended() and sets
  // gone(). Does nothing if it is leaving already.
  void leave();
  // Takes leave() back, so that the queue serves again, unless the session has ended.
  void stay();
  // Set while the queue has left and nothing is in flight in it.
  CoEvent& gone() { return gone_; }
  const std::shared_ptr<const UniqueFd>& descriptor() const { return fd_; }

  AioContext& context() override { return *context_; }
  void reply(RequestSlot& slot, int error, std::span<const std::byte> body) override;
  void finish(RequestSlot& slot) override;

 private:
  enum class Taken { kRequest, kBookkeeping, kNothing, kSessionGone };

  DevQueue(Session& session, std::shared_ptr<AioContext> context,
           std::shared_ptr<const UniqueFd> fd, std::unique_ptr<SlotPool> slots);
  bool poll() override;
  bool prepare_to_sleep() override;
  Taken take_request();
  bool accept(DevSlot& slot, size_t length);
  void arm_poll();
  static void poll_completed(IoOperation* operation);
  void leave_ended_session();
  void co_leave() COROUTINE_CODE;

  // Constant.
  Session& session_;
  const std::shared_ptr<AioContext> context_;
  const std::shared_ptr<const UniqueFd> fd_;

  // The own context's.
  const std::unique_ptr<SlotPool> slots_;
  unsigned batch_ = 1;  // requests to take in the next turn
  unsigned in_service_ = 0;
  bool leaving_ = false;         // is to take no requests
  bool leaver_running_ = false;  // co_leave() is under way
  bool poll_armed_ = false;
  IoOperation poll_operation_;
  CoEvent changed_;  // set while leaving, when a request has ended or the poll has, and by stay()

  CoEvent gone_;
};

}  // namespace penstock
