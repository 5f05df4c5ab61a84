// SPDX-License-Identifier: Apache-2.0
// Moves bytes between memory and a file on the ring of the thread that runs the request.
//
// Cached data moves inline, by calls that do not wait (in memory: by plain calls); what would wait,
// and all direct I/O, goes through the current context's ring.
//
// Ownership: the caller's memory outlives the call.
// Threads: a coroutine on any context, many at once.
// Errors: the exact errno with the path; a write that makes no progress is EIO.
// Invariants: bytes past the file's end read as zeroes, even if the file has shrunk behind our back
//   (QEMU does the same; a reader of a sparse image expects it).
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "base/io_vector.h"
#include "base/thread_roles.h"
#include "block/node/request_flags.h"
#include "drivers/file/file_handle.h"

namespace penstock {

absl::Status co_read_file(FileHandle& file, uint64_t offset, const IoVector& data) COROUTINE_CODE;

// With kFua the bytes are durable when this returns OK.
absl::Status co_write_file(FileHandle& file, uint64_t offset, const IoVector& data,
                           RequestFlags flags) COROUTINE_CODE;

// fdatasync.
absl::Status co_sync_file(FileHandle& file) COROUTINE_CODE;

}  // namespace penstock
