// SPDX-License-Identifier: Apache-2.0
// The root directory of a mount: one file in it, and nothing that can be added or taken away.
//
// Ownership: none.
// Threads: a coroutine on any context.
// Errors: ENOENT for other names.
// Invariants: a directory's cookies are 1, 2, ... for its entries in order.
#pragma once

#include "base/thread_roles.h"
#include "fuse/session.h"
#include "fuse/session_io.h"

namespace penstock {

void co_lookup(Session& session, RequestSlot& slot) COROUTINE_CODE;
// READDIR and READDIRPLUS.
void co_readdir(Session& session, RequestSlot& slot) COROUTINE_CODE;

}  // namespace penstock
