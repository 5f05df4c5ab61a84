// SPDX-License-Identifier: Apache-2.0
// The io_uring poller: one ring carries all operations of a thread.
//
// Ownership: owns the ring and the eventfd that ends its sleep.
// Threads: created and used by one thread (the ring has a single issuer); wake() from any. It may
//   be destroyed by another thread, once nothing is in flight.
// Errors: create() answers the errno of the kernel's refusal.
// Invariants: operations enter the kernel in the order of submit() and cancel(). Without the newest
//   kernel's ring flags it works with fewer.
#pragma once

#include <liburing.h>

#include <deque>
#include <memory>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "iothreads/poller.h"

namespace penstock {

class UringPoller : public Poller {
 public:
  // k128 is what FUSE's commands over io_uring need; it doubles the submission queue's memory.
  enum class EntrySize { k64, k128 };

  static absl::StatusOr<std::unique_ptr<UringPoller>> create(EntrySize entry_size);
  UringPoller(const UringPoller&) = delete;
  UringPoller& operator=(const UringPoller&) = delete;
  ~UringPoller() override;

  void submit(IoOperation* operation) override;
  void cancel(IoOperation* operation) override;
  void flush() override;
  IoOperation* reap() override;
  bool may_sleep() const override;
  void wait(Nanoseconds timeout) override;
  void wake() override;
  Nanoseconds now() const override;
  const char* name() const override { return "io_uring"; }

 private:
  struct Queued {
    IoOperation* operation;
    bool cancel;
  };

  UringPoller() = default;
  void enqueue(Queued queued);
  // A free entry; enters the kernel if the queue is full. nullptr if the kernel takes none now.
  io_uring_sqe* free_entry();
  bool prepare(const Queued& queued);
  void move_backlog();
  bool arm_wake();
  // The kernel has completions that it delivers only when it is entered.
  bool kernel_wants_entry() const;

  io_uring ring_{};
  UniqueFd wake_fd_;
  uint64_t wake_count_ = 0;  // the kernel writes it
  bool wake_armed_ = false;
  std::deque<Queued> backlog_;  // what found no free entry
};

}  // namespace penstock
