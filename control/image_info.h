// SPDX-License-Identifier: Apache-2.0
// What an image is: its format, sizes, snapshots, and the image below it.
//
// Ownership: values.
// Threads: read_image_info on a thread without a loop; it becomes the control thread meanwhile.
// Errors: those of opening the image.
// Invariants: the image is not changed. Key names and their meaning are qemu-img's.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/thread_roles.h"
#include "block/node/image_snapshot.h"
#include "block/node/node.h"
#include "control/mount_plan.h"
#include "nlohmann/json.hpp"

namespace penstock {

struct ImageInfo {
  std::string filename;  // as the user, or the image above, named it
  std::string format;
  uint64_t virtual_size = 0;             // bytes
  uint64_t actual_size = 0;              // bytes on the storage, of this image alone
  std::optional<uint64_t> cluster_size;  // bytes
  bool dirty = false;
  std::optional<std::string> backing_filename;  // as the image says it
  std::optional<std::string> full_backing_filename;
  std::optional<std::string> backing_format;
  std::vector<ImageSnapshot> snapshots;
  nlohmann::json format_specific;  // null if there is nothing
};

// The image that a format's node, below the filters of `top`, is open on.
ImageInfo describe_image(const Node& top, const std::string& filename) GLOBAL_STATE_CODE;

// The image of `plan` alone, or with all images below it, from the top down.
absl::StatusOr<std::vector<ImageInfo>> read_image_info(MountPlan plan,
                                                       bool whole_chain) BLOCKING_CODE;

}  // namespace penstock
