// SPDX-License-Identifier: Apache-2.0
// Serves one decoded request: finds the operation of its opcode.
//
// Ownership: the slot belongs to its queue; it is finished when this returns.
// Threads: a coroutine that starts on the queue's context.
// Errors: replied: ENOSYS for opcodes that are not served (the kernel then stops asking or falls
//   back), ESTALE for nodes that are not in the tree, EPERM (EROFS if the mount is read-only) for
//   changes of a directory.
// Invariants: exactly one reply. The request has left the backend's gate before its slot is
//   finished.
#pragma once

#include "base/thread_roles.h"
#include "fuse/session_io.h"

namespace penstock {

void co_serve(RequestSlot& slot) COROUTINE_CODE;

}  // namespace penstock
