// SPDX-License-Identifier: Apache-2.0
// An internal snapshot: an older state of the disk that its image keeps beside the newest.
//
// Ownership: a value.
// Threads: a value.
// Errors: none.
// Invariants: ids are unique within an image as far as the image is sound; names need not be.
#pragma once

#include <cstdint>
#include <string>

namespace penstock {

struct ImageSnapshot {
  std::string id;
  std::string name;
  uint64_t disk_size = 0;      // bytes, the disk's when the snapshot was taken
  uint64_t vm_state_size = 0;  // bytes
  uint32_t date_seconds = 0;   // since 1970
  uint32_t date_nanoseconds = 0;
  uint64_t vm_clock_nanoseconds = 0;
};

}  // namespace penstock
