// SPDX-License-Identifier: Apache-2.0
// Ends an IoThread that is in use: its users move to other threads first.
//
// Ownership: borrows.
// Threads: the control thread; the users' I/O goes on meanwhile.
// Errors: ENOENT, EINVAL for the names; those of moving a user, which name the request or the user
//   that holds the thread; EBUSY for a user that cannot be moved, and for an export that starts or
//   ends, if it takes longer than some seconds. What had been moved is moved back
//   then, and the thread goes on; if that fails too, the error says what stays where.
// Invariants: nobody new uses the thread meanwhile.
#pragma once

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "base/thread_roles.h"
#include "control/daemon_state.h"

namespace penstock {

// With `move_to`, all users move there. Without, an export goes on with the threads that it has
// beside this one, or on the default threads if it has none, and nodes go home to the control
// thread.
absl::Status co_remove_iothread(Daemon& daemon, const std::string& id,
                                const std::optional<std::string>& move_to) CONTROL_COROUTINE_CODE;

}  // namespace penstock
