// SPDX-License-Identifier: Apache-2.0
// What an image is, by opening it read-only through the graph.
//
// Ownership: values; the image is closed again before the answer is given.
// Threads: a thread without a loop; it becomes the control thread meanwhile.
// Errors: those of opening the image.
// Invariants: the image is not changed. Key names and their meaning are qemu-img's.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "base/thread_roles.h"

namespace penstock {

struct ImageInfo {
  std::string filename;  // as the user named it
  std::string format;
  uint64_t virtual_size = 0;             // bytes
  uint64_t actual_size = 0;              // bytes on the storage
  std::optional<uint64_t> cluster_size;  // bytes
  bool dirty = false;
};

// `format` may be empty: found by its magic. With `force_share` also while somebody writes.
absl::StatusOr<ImageInfo> read_image_info(const std::string& image, const std::string& format,
                                          bool force_share) BLOCKING_CODE;

std::string image_info_json(const ImageInfo& info);
std::string image_info_text(const ImageInfo& info);

// "1.5 GiB", three digits, as qemu-img prints sizes.
std::string readable_size(uint64_t bytes);

}  // namespace penstock
