// SPDX-License-Identifier: Apache-2.0
// The poller of a FakeWorld: real file operations, a virtual clock, completions in a seeded order.
//
// Ownership: the context owns it; it refers to its world, which outlives it.
// Threads: the world's one thread.
// Errors: as Poller.
// Invariants: reap() may hold completions back, for other work to go first, but not after
//   deliver_all() until the next reap.
#pragma once

#include <vector>

#include "iothreads/poller.h"

namespace penstock {

class FakeWorld;

class FakePoller : public Poller {
 public:
  explicit FakePoller(FakeWorld& world) : world_(world) {}

  void submit(IoOperation* operation) override;
  void cancel(IoOperation* operation) override;
  void flush() override;
  IoOperation* reap() override;
  bool may_sleep() const override { return completed_.empty(); }
  // Nobody may really sleep: moves the clock to the end of the time.
  void wait(Nanoseconds timeout) override;
  void wake() override {}
  Nanoseconds now() const override;
  const char* name() const override { return "fake"; }

  // The next reap() holds nothing back.
  void deliver_all() { may_hold_ = false; }

 private:
  FakeWorld& world_;
  std::vector<IoOperation*> polled_;     // kPoll operations whose descriptors are not ready
  std::vector<IoOperation*> completed_;  // done, not yet reaped
  bool may_hold_ = true;
};

}  // namespace penstock
