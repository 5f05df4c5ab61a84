// SPDX-License-Identifier: Apache-2.0
// Makes the calling thread the control thread for the time of one command.
//
// Ownership: makes the control context and destroys it before it returns.
// Threads: a thread without a loop; it runs the control context's loop meanwhile.
// Errors: those of making the context and its poller, else the command's.
// Invariants: the command is the first coroutine of the context and the loop ends with it.
#pragma once

#include <functional>

#include "absl/status/status.h"
#include "base/thread_roles.h"
#include "iothreads/poller_factory.h"

namespace penstock {

absl::Status run_control_loop(Engine engine,
                              const std::function<absl::Status()>& command) BLOCKING_CODE;

}  // namespace penstock
