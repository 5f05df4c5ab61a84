// SPDX-License-Identifier: Apache-2.0
// The control thread: the one thread that owns the graph. There is exactly one; it never moves.
//
// Ownership: the role is claimed once, for the life of the process (tests: of a
//   ControlThreadScope).
// Threads: see each function.
// Errors: claiming twice aborts.
// Invariants: the control thread runs an AioContext of its own; control commands are coroutines
//   there.
#pragma once

#include "base/thread_roles.h"
#include "iothreads/aio_context.h"

namespace penstock {

// Makes `context` the control context for the scope's life. The thread that runs its loop is the
// control thread.
class ControlThreadScope {
 public:
  explicit ControlThreadScope(AioContext& context);
  ControlThreadScope(const ControlThreadScope&) = delete;
  ControlThreadScope& operator=(const ControlThreadScope&) = delete;
  ~ControlThreadScope();
};

// Any thread: the control context. REQUIRES: a ControlThreadScope is alive.
AioContext& control_context();

// True on the control thread.
bool on_control_thread();
// Gives the role to code that starts on the control thread. Checked in debug builds.
void assert_control_thread() ASSERTS_ROLE(control_thread_role);

// Moves the coroutine to the control thread and back again where it came from at scope end.
class CoControlHop {
 public:
  CoControlHop() COROUTINE_CODE;
  CoControlHop(const CoControlHop&) = delete;
  CoControlHop& operator=(const CoControlHop&) = delete;
  ~CoControlHop();

 private:
  AioContext* const origin_;
};

}  // namespace penstock
