// SPDX-License-Identifier: Apache-2.0
// Several contexts stepped from one thread in a chosen or seeded order, on a virtual clock.
//
// Ownership: owns its contexts and their fake pollers.
// Threads: one thread, the test's, plays every context's own thread in turn.
// Errors: run_until() answers false when nothing can move any more and the condition does not hold.
// Invariants: the same seed and the same program give the same schedule. File operations are done
//   for real at submit; the order in which their completions come is the schedule's choice.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "iothreads/aio_context.h"

namespace penstock {

class FakePoller;

class FakeWorld {
 public:
  FakeWorld(unsigned contexts, uint64_t seed);
  ~FakeWorld();

  AioContext& context(unsigned index) { return *contexts_[index]; }
  unsigned size() const { return static_cast<unsigned>(contexts_.size()); }

  // One turn of one context chosen by the seed; moves the clock when all are idle. False if nothing
  // can move: no ready work, no operation, no timer.
  bool step();
  // One turn of the context `index`; true if anything ran.
  bool step_context(unsigned index);
  // Steps until `done`; false if nothing can move before, or after `max_steps`.
  bool run_until(const std::function<bool()>& done, uint64_t max_steps = 10'000'000);
  Nanoseconds now() const { return now_; }
  void advance(Nanoseconds by) { now_ += by; }
  std::mt19937_64& random() { return random_; }

 private:
  friend class FakePoller;
  std::mt19937_64 random_;
  Nanoseconds now_{1};
  std::vector<std::shared_ptr<AioContext>> contexts_;
  std::vector<FakePoller*> pollers_;
};

}  // namespace penstock
