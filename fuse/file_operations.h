// SPDX-License-Identifier: Apache-2.0
// Reads, writes and the rest on files: windows of backends, and texts.
//
// Ownership: none.
// Threads: a coroutine on any context.
// Errors: replied with the exact errno of the block layer. The end of a fixed size is that of a
//   block device: reads stop short of it, writes too, and a write wholly past it fails with ENOSPC.
// Invariants: each replies exactly once, those on a file inside its backend's gate. A read or write
//   that succeeds allocates no memory.
#pragma once

#include "absl/status/status.h"
#include "base/thread_roles.h"
#include "fuse/session.h"
#include "fuse/session_io.h"

namespace penstock {

void reply_open(Session& session, const ServedFile& file, RequestSlot& slot);
void co_read(Session& session, const ServedFile& file, RequestSlot& slot) COROUTINE_CODE;
void co_write(Session& session, const ServedFile& file, RequestSlot& slot) COROUTINE_CODE;
void co_fsync(const ServedFile& file, RequestSlot& slot) COROUTINE_CODE;

void reply_open_text(const Session& session, RequestSlot& slot);
void reply_read_text(const ServedEntry& text, RequestSlot& slot);
// All of a text is data.
void reply_seek_text(const ServedEntry& text, RequestSlot& slot);

// Flushes every backend that a writable file shows; the first error.
absl::Status co_flush_all(const ServedTree& tree) COROUTINE_CODE;

}  // namespace penstock
