// SPDX-License-Identifier: Apache-2.0
// A check of an image's metadata against itself, without changing anything.
//
// Ownership: values; a Checkable is its driver.
// Threads: co_check as the driver's other I/O functions.
// Errors: of the check itself. What is wrong with the image is the result, not an error.
// Invariants: memory stays bounded whatever the image says. Counts are exact, messages limited.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/thread_roles.h"

namespace penstock {

// The counts have the names and meanings of "qemu-img check".
struct ImageCheck {
  uint64_t check_errors = 0;  // tables that could not be read
  uint64_t corruptions = 0;
  uint64_t leaks = 0;
  uint64_t total_clusters = 0;
  uint64_t allocated_clusters = 0;
  uint64_t fragmented_clusters = 0;
  uint64_t compressed_clusters = 0;
  uint64_t image_end_offset = 0;      // bytes
  std::vector<std::string> messages;  // a sentence each, the first ones
  uint64_t messages_left_out = 0;
};

class Checkable {
 public:
  virtual ~Checkable() = default;

 private:
  friend class DriverAccess;
  virtual absl::StatusOr<ImageCheck> co_check() IO_CODE = 0;
};

}  // namespace penstock
