// SPDX-License-Identifier: Apache-2.0
// "json:{...}" as the name of a file inside an image: the shapes that QEMU and its management write
// for files on this machine.
//
//   {"driver": FORMAT, "file": {"driver": "file", "filename": NAME}}
//   {"driver": "file", "filename": NAME}
//
// and the same with "file.driver" and "file.filename" as flat keys; "host_device" for "file";
// "locking" of a file, which is ignored; "offset" and "size" of raw; "backing" in the same shapes,
// or null.
//
// Ownership: values.
// Threads: pure.
// Errors: EINVAL, naming the key.
// Invariants: a parsed image has exactly one of `filename` and `file`. Depth is limited.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace penstock {

struct JsonImageName {
  std::string driver;    // empty: not said; "file" for a device too
  std::string filename;  // of a file itself
  std::unique_ptr<JsonImageName> file;
  std::optional<uint64_t> offset;  // bytes
  std::optional<uint64_t> size;    // bytes
  bool no_backing = false;         // explicitly none
  std::unique_ptr<JsonImageName> backing;
};

bool is_json_image_name(std::string_view name);

// REQUIRES: is_json_image_name(name).
absl::StatusOr<JsonImageName> parse_json_image_name(std::string_view name);

}  // namespace penstock
