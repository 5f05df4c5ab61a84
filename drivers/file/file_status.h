// SPDX-License-Identifier: Apache-2.0
// Where a file has data and where holes.
//
// Ownership: none.
// Threads: any, many at once.
// Errors: the exact errno with the path. A filesystem that cannot tell makes everything data.
// Invariants: the answer's length is above zero and within the range.
#pragma once

#include "absl/status/statusor.h"
#include "base/byte_range.h"
#include "block/node/mapping.h"
#include "drivers/file/file_handle.h"

namespace penstock {

absl::StatusOr<BlockStatus> file_status(FileHandle& file, ByteRange range);

}  // namespace penstock
