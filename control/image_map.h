// SPDX-License-Identifier: Apache-2.0
// Which parts of a disk are data, and in which image and where: what "qemu-img map" says.
//
// Ownership: values, handed over one by one; nothing is collected.
// Threads: a thread without a loop; it becomes the control thread meanwhile.
// Errors: those of opening the image and of reading its tables.
// Invariants: extents are in order, adjoin, and cover the range; two neighbours differ. What a
//   format calls data is data, whatever holes its file has. Those count as zeroes only if the file
//   is much smaller than its clusters, as QEMU has it: then clusters were reserved, not written.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "base/thread_roles.h"
#include "control/mount_plan.h"

namespace penstock {

struct MapExtent {
  uint64_t start = 0;    // bytes
  uint64_t length = 0;   // bytes
  unsigned depth = 0;    // 0: the image itself, 1: its backing file, ...
  bool present = false;  // an image of the chain decides about it
  bool zero = false;
  bool data = false;
  bool compressed = false;
  std::optional<uint64_t> offset;  // bytes, in `file`
  std::string file;                // empty without an offset
};

// The part of the disk to look at; nothing more than there is.
struct MapRange {
  uint64_t start = 0;                               // bytes
  uint64_t max_length = static_cast<uint64_t>(-1);  // bytes
};

absl::Status map_image(const MountPlan& plan, MapRange range,
                       const std::function<void(const MapExtent&)>& take) BLOCKING_CODE;

}  // namespace penstock
