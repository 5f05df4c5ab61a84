// SPDX-License-Identifier: Apache-2.0
// Zeroes and discards ranges of a file without writing them.
//
// Ownership: none.
// Threads: a coroutine on any context, many at once.
// Errors: EOPNOTSUPP where the storage has no such operation (remembered), so that the caller
//   writes zeroes or does nothing; else the exact errno with the path.
// Invariants: after OK from a zeroing the range reads as zeroes, and the file reaches its end.
#pragma once

#include "absl/status/status.h"
#include "base/byte_range.h"
#include "base/thread_roles.h"
#include "block/node/request_flags.h"
#include "drivers/file/file_handle.h"

namespace penstock {

absl::Status co_zero_file(FileHandle& file, ByteRange range, RequestFlags flags) COROUTINE_CODE;

absl::Status co_discard_file(FileHandle& file, ByteRange range) COROUTINE_CODE;

}  // namespace penstock
