// SPDX-License-Identifier: Apache-2.0
// Holes: making them (fallocate) and finding them (lseek).
//
// Ownership: none.
// Threads: a coroutine on any context.
// Errors: EOPNOTSUPP for modes of fallocate that the block layer cannot promise; ENXIO for a seek
//   that finds nothing; else the block layer's own.
// Invariants: each replies exactly once, inside the backend's gate. A zeroed or punched range reads
//   as zeroes. A seek ends after a second, and when its session does: its caller cannot be killed
//   meanwhile. What it has not looked at counts as data.
#pragma once

#include "base/thread_roles.h"
#include "fuse/session.h"
#include "fuse/session_io.h"

namespace penstock {

void co_fallocate(Session& session, const ServedFile& file, RequestSlot& slot) COROUTINE_CODE;
void co_lseek(const Session& session, const ServedFile& file, RequestSlot& slot) COROUTINE_CODE;

}  // namespace penstock
