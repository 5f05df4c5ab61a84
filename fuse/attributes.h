// SPDX-License-Identifier: Apache-2.0
// What stat(2) and statfs(2) show of the entries of a mount.
//
// Ownership: none.
// Threads: a coroutine on any context; those that take a BackendRequest are in flight through it.
// Errors: those of the gate and of a resize; EPERM for changes of owner or mode, of the size of a
//   file that is not growable, and of what is no file.
// Invariants: the inode number is the node's. Blocks never exceed the size, and a file that is not
//   empty has some (tools take a file without blocks as nothing but a hole).
#pragma once

#include "base/thread_roles.h"
#include "block/backend/backend_request.h"
#include "fuse/session.h"
#include "fuse/session_io.h"

namespace penstock {

// How long the kernel may keep a name, in seconds: entries never go away.
inline constexpr uint64_t kNameValid = 3600;

// How long the kernel may keep the attributes of an entry, in seconds.
uint64_t attributes_valid(const Session& session, const ServedEntry& entry);

// REQUIRES: the entry is a file, and the request is inside its backend's gate.
fuse_attr file_attributes(Session& session, const ServedEntry& entry,
                          const BackendRequest& request) IO_CODE;
// Of an entry that is no file: these need no backend.
fuse_attr other_attributes(Session& session, const ServedEntry& entry);

void co_getattr(Session& session, const ServedEntry& entry, RequestSlot& slot) COROUTINE_CODE;
void co_setattr(Session& session, const ServedEntry& entry, RequestSlot& slot) COROUTINE_CODE;
void reply_statfs(Session& session, RequestSlot& slot);

}  // namespace penstock
