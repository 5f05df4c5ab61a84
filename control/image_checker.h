// SPDX-License-Identifier: Apache-2.0
// Checks an image's metadata, and says what was found.
//
// Ownership: values; the image is closed again before the answer is given.
// Threads: a thread without a loop; it becomes the control thread meanwhile.
// Errors: those of opening the image and of the check.
// Invariants: the image is not changed. Key names and their meaning are qemu-img's.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "base/thread_roles.h"
#include "block/node/image_check.h"
#include "control/mount_plan.h"

namespace penstock {

struct CheckedImage {
  std::string filename;  // as the user named it
  std::string format;
  bool has_check = true;  // false: the format has no metadata to check
  ImageCheck check;
};

// Opens `plan.image` read-only. Backing files are not needed and not opened.
absl::StatusOr<CheckedImage> check_image(MountPlan plan) BLOCKING_CODE;

// Counts that are zero are left out, but for the errors of the check.
std::string image_check_json(const CheckedImage& image);
std::string image_check_text(const CheckedImage& image);

}  // namespace penstock
