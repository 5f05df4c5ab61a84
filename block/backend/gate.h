// SPDX-License-Identifier: Apache-2.0
// The gate of a backend: where requests are counted, and wait while a node below is drained.
//
// A request counts itself and then looks whether the gate is quiesced; the drainer does the
// reverse. A request that finds it quiesced takes its count back and parks, holding nothing. Who
// ends the quiescence counts the parked in before they can run, so that the next drain sees them.
//
// Ownership: embedded in a backend; freed only after co_pass_all_contexts().
// Threads: enter and leave in a coroutine on any context; quiesce and resume on the control thread.
// Errors: a gate that is closed for good refuses with ESHUTDOWN; the parked are refused too.
// Invariants: between quiesce() + idle() and resume() no request is inside. Parked requests
//   continue first in first out, each on its own context.
#pragma once

#include <atomic>

#include "absl/status/status.h"
#include "base/thread_roles.h"
#include "block/node/in_flight.h"
#include "iothreads/coroutine.h"
#include "iothreads/thread_mutex.h"

namespace penstock {

class Gate {
 public:
  Gate() = default;
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;
  ~Gate();

  absl::Status co_enter(const char* operation, uint64_t offset, uint64_t length) COROUTINE_CODE;
  void leave();

  void quiesce() GLOBAL_STATE_CODE;  // nests
  void resume() GLOBAL_STATE_CODE;
  void close() GLOBAL_STATE_CODE;
  // After heavy_barrier(): true if nobody is inside.
  bool idle() const { return counters_.idle(); }
  int quiesce_depth() const GLOBAL_STATE_CODE { return depth_; }
  uint64_t parked();
  InFlightCounters& counters() { return counters_; }

 private:
  struct Parked;
  absl::Status co_enter_slowly(Coroutine& self) COROUTINE_CODE;

  InFlightCounters counters_;
  // Read by every request, written by drains only: apart from what requests write.
  alignas(64) std::atomic<bool> quiesced_{false};
  std::atomic<bool> closed_{false};
  int depth_ = 0;  // the control thread's
  ThreadMutex mutex_{"Gate"};
  Parked* parked_head_ GUARDED_BY(mutex_) = nullptr;
  Parked* parked_tail_ GUARDED_BY(mutex_) = nullptr;
};

}  // namespace penstock
