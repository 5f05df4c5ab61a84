// SPDX-License-Identifier: Apache-2.0
#include "iothreads/co_gate.h"

#include "iothreads/fatal.h"

namespace penstock {

CoGate::~CoGate() {
  const ThreadLock lock(mutex_);
#if defined(PENSTOCK_DEBUG_CHECKS)
  if (inside_ != 0) fatal("a CoGate is destroyed with work inside", last_);
#endif
}

bool CoGate::try_enter(const char* what) {
  const ThreadLock lock(mutex_);
  if (closed_) return false;
  ++inside_;
  last_ = what;
  return true;
}

void CoGate::leave() {
  const ThreadLock lock(mutex_);
  --inside_;
  if (inside_ == 0 && closed_) empty_.set();
}

void CoGate::co_close() {
  {
    const ThreadLock lock(mutex_);
    closed_ = true;
    if (inside_ == 0) return;
    empty_.reset();
  }
  empty_.co_wait();
  // The last to leave still had the lock when it set the event; whoever closes may destroy the
  // gate.
  const ThreadLock lock(mutex_);
}

void CoGate::reopen() {
  const ThreadLock lock(mutex_);
  closed_ = false;
}

int CoGate::holders() {
  const ThreadLock lock(mutex_);
  return inside_;
}

}  // namespace penstock
