// SPDX-License-Identifier: Apache-2.0
// The poller for places where io_uring is not allowed: epoll, and threads for file operations.
//
// Ownership: owns its epoll instance and eventfd. Its destructor waits for operations that the
//   threads still run.
// Threads: as Poller says; the threads that run operations are shared by all such pollers.
// Errors: create() answers the errno of what it could not create.
// Invariants: kPoll on a file that is always ready, such as a regular one, completes at once.
#pragma once

#include <memory>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "iothreads/poller.h"
#include "iothreads/thread_condition.h"
#include "iothreads/thread_mutex.h"

namespace penstock {

class EpollPoller : public Poller {
 public:
  static absl::StatusOr<std::unique_ptr<EpollPoller>> create();
  EpollPoller(const EpollPoller&) = delete;
  EpollPoller& operator=(const EpollPoller&) = delete;
  ~EpollPoller() override;

  void submit(IoOperation* operation) override;
  void cancel(IoOperation* operation) override;
  void flush() override;
  IoOperation* reap() override;
  bool may_sleep() const override;
  void wait(Nanoseconds timeout) override;
  void wake() override;
  Nanoseconds now() const override;
  const char* name() const override { return "epoll"; }

 private:
  // A list in order of completion.
  struct Completions {
    IoOperation* first = nullptr;
    IoOperation** last = &first;
    void append(IoOperation* operation);
    void append_all(Completions& other);
  };
  // What epoll watches for one kPoll operation: its descriptor, or a copy of it.
  struct Watch {
    int fd;
    UniqueFd copy;
  };

  EpollPoller() = default;
  void watch(IoOperation* operation);
  void unwatch(IoOperation* operation);
  void take_events();
  void take_finished() const;
  void finish(IoOperation* operation);

  UniqueFd epoll_;
  UniqueFd wake_fd_;
  absl::flat_hash_map<IoOperation*, Watch> watches_;
  mutable Completions completed_;  // the own thread's

  mutable ThreadMutex mutex_{"EpollPoller"};
  ThreadCondition all_finished_;
  mutable Completions finished_ GUARDED_BY(mutex_);  // the threads'
  unsigned running_ GUARDED_BY(mutex_) = 0;
  bool waiting_ GUARDED_BY(mutex_) = false;
};

}  // namespace penstock
