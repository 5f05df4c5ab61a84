// SPDX-License-Identifier: Apache-2.0
// What stat(2) and statfs(2) show of an export.
//
// Ownership: none.
// Threads: a coroutine on any context; those that take a BackendRequest are in flight through it.
// Errors: those of the gate and of a resize; EPERM for changes of owner or mode, and of the size of
//   an export that is not growable.
// Invariants: the inode number is the node's. Blocks never exceed the size, and a file that is not
//   empty has some (tools take a file without blocks as nothing but a hole).
#pragma once

#include "absl/status/status.h"
#include "base/thread_roles.h"
#include "block/backend/backend_request.h"
#include "fuse/session.h"
#include "fuse/session_io.h"

namespace penstock {

// How long the kernel may keep attributes and names, in seconds. It drops them itself after its own
// writes, and at our notification after a resize.
inline constexpr uint64_t kAttributesValid = 3600;

fuse_attr file_attributes(Session& session, const BackendRequest& request) IO_CODE;
fuse_attr directory_attributes(Session& session);

void co_getattr(Session& session, RequestSlot& slot) COROUTINE_CODE;
void co_setattr(Session& session, RequestSlot& slot) COROUTINE_CODE;
void reply_statfs(Session& session, RequestSlot& slot);

}  // namespace penstock
