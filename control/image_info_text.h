// SPDX-License-Identifier: Apache-2.0
// An image's facts for people and for programs, as qemu-img shows them.
//
// Ownership: values.
// Threads: pure.
// Errors: none.
// Invariants: what an image chose to say cannot reach a terminal as control characters.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "control/image_info.h"
#include "nlohmann/json.hpp"

namespace penstock {

nlohmann::ordered_json image_info_json(const ImageInfo& info);
// With a final line feed; bytes that are no UTF-8 are replaced.
std::string json_text(const nlohmann::ordered_json& json);

std::string image_info_text(const ImageInfo& info);
// One after the other, with empty lines between.
std::string image_info_text(const std::vector<ImageInfo>& images);

// "1.5 GiB", three digits, as qemu-img prints sizes.
std::string readable_size(uint64_t bytes);

}  // namespace penstock
