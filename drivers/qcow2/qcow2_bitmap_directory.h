// SPDX-License-Identifier: Apache-2.0
// The directory of the dirty bitmaps that an image keeps, as far as people are told about it.
//
// Ownership: values.
// Threads: in flight in the image's node.
// Errors: EIO and the file's own; EINVAL for a directory that the format forbids or that has more
//   than 1 MiB.
// Invariants: memory is bounded. Bitmaps say nothing about the disk's contents.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/thread_roles.h"
#include "block/node/child.h"
#include "drivers/qcow2/qcow2_header.h"

namespace penstock {

struct Qcow2Bitmap {
  std::string name;
  unsigned granularity_bits = 0;
  bool in_use = false;     // was not saved: its contents are void
  bool automatic = false;  // records all writes
};

absl::StatusOr<std::vector<Qcow2Bitmap>> co_read_qcow2_bitmaps(const Child& file,
                                                               const Qcow2Header& header) IO_CODE;

}  // namespace penstock
