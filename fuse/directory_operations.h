// SPDX-License-Identifier: Apache-2.0
// Looking into directories: nothing can be added or taken away through the mount.
//
// Ownership: none.
// Threads: a coroutine on any context. The directory is filled.
// Errors: ENOENT for names that are not there; those of the gate of a file that is looked up.
// Invariants: a directory's cookies are 1, 2, ... for its entries in order, and stay so while it
//   grows. Hidden entries are found, but not listed.
#pragma once

#include "base/thread_roles.h"
#include "fuse/session.h"
#include "fuse/session_io.h"

namespace penstock {

void co_lookup(Session& session, const ServedEntry& directory, RequestSlot& slot) COROUTINE_CODE;
// READDIR and READDIRPLUS.
void co_readdir(Session& session, const ServedEntry& directory, RequestSlot& slot) COROUTINE_CODE;

}  // namespace penstock
