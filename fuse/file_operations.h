// SPDX-License-Identifier: Apache-2.0
// Reads, writes and the rest on the file, as requests of the backend.
//
// Ownership: none.
// Threads: a coroutine on any context.
// Errors: replied with the exact errno of the block layer. The end of a fixed size is that of a
//   block device: reads stop short of it, writes too, and a write wholly past it fails with ENOSPC.
// Invariants: each replies exactly once, inside the backend's gate. A read or write that succeeds
//   allocates no memory.
#pragma once

#include "base/thread_roles.h"
#include "fuse/session.h"
#include "fuse/session_io.h"

namespace penstock {

void reply_open(Session& session, RequestSlot& slot);
void co_read(Session& session, RequestSlot& slot) COROUTINE_CODE;
void co_write(Session& session, RequestSlot& slot) COROUTINE_CODE;
// FSYNC and SYNCFS.
void co_fsync(Session& session, RequestSlot& slot) COROUTINE_CODE;

}  // namespace penstock
