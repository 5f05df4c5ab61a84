// SPDX-License-Identifier: Apache-2.0
// The seam below an AioContext: io_uring, epoll with a thread pool, or a deterministic fake.
//
// Ownership: one AioContext owns one poller; a started operation belongs to the poller until
//   reaped.
// Threads: every function is called on the context's own thread, except wake(), which is for any.
// Errors: an operation's failure is its result; a poller that cannot be made says so from its
//   factory, with the cause (see poller_factory.h).
// Invariants: submit and reap never block; only wait() does. Completions come out of reap alone.
#pragma once

#include <chrono>
#include <cstdint>

#include "iothreads/io_operation.h"

namespace penstock {

using Nanoseconds = std::chrono::nanoseconds;

class Poller {
 public:
  virtual ~Poller() = default;

  // Queues an operation; it may start now or at the next flush() or wait().
  virtual void submit(IoOperation* operation) = 0;

  // Asks that a started kPoll operation ends; it completes with -ECANCELED or with its result.
  virtual void cancel(IoOperation* operation) = 0;

  // Hands what was submitted to the kernel, without waiting, and lets finished work become visible
  // to reap().
  virtual void flush() = 0;

  // Takes the completed operations, in order of completion, as a list linked by `next`; nullptr if
  // none. Their `result` is set; `complete` has not been called.
  virtual IoOperation* reap() = 0;

  // False while completions are ready to be reaped.
  virtual bool may_sleep() const = 0;

  // Flushes, then sleeps until a completion, a wake() or `timeout`; a negative timeout is for ever.
  virtual void wait(Nanoseconds timeout) = 0;

  // Ends a wait() that is under way or makes the next one return at once.
  virtual void wake() = 0;

  // Monotonic time; the fake's is virtual.
  virtual Nanoseconds now() const = 0;

  // "io_uring", "epoll", "fake".
  virtual const char* name() const = 0;
};

}  // namespace penstock
