// SPDX-License-Identifier: Apache-2.0
// A gate for background work: it refuses new work once closed, and tells when the old is done.
//
// Ownership: outlives its holders; aborts when destroyed with holders inside, naming one (debug).
// Threads: any thread enters and leaves; one coroutine closes.
// Errors: try_enter() answers false once the gate is closing.
// Invariants: after co_close() nobody is inside and nobody gets in until reopen().
#pragma once

#include "base/thread_roles.h"
#include "iothreads/co_event.h"
#include "iothreads/thread_mutex.h"

namespace penstock {

class CoGate {
 public:
  CoGate() = default;
  ~CoGate();

  // `what` is a literal that names the work.
  bool try_enter(const char* what);
  void leave();
  void co_close() COROUTINE_CODE;
  void reopen();
  int holders();

  // Leaves in its destructor, if it got in.
  class Holder {
   public:
    Holder(CoGate& gate, const char* what) : gate_(gate.try_enter(what) ? &gate : nullptr) {}
    Holder(const Holder&) = delete;
    Holder& operator=(const Holder&) = delete;
    ~Holder() {
      if (gate_ != nullptr) gate_->leave();
    }
    explicit operator bool() const { return gate_ != nullptr; }

   private:
    CoGate* const gate_;
  };

 private:
  ThreadMutex mutex_{"CoGate"};
  int inside_ GUARDED_BY(mutex_) = 0;
  bool closed_ GUARDED_BY(mutex_) = false;
  const char* last_ GUARDED_BY(mutex_) = "";
  CoEvent empty_;
};

}  // namespace penstock
