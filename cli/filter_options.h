// SPDX-License-Identifier: Apache-2.0
// A driver's options as words of a command line: "key=value", "a.b=1", "rules.0=TEXT".
//
// Ownership: values.
// Threads: pure.
// Errors: EINVAL, naming the word.
// Invariants: true and false are truth values, digits are a number, a value that begins with '{',
//   '[' or '"' is JSON, everything else is text. A dot leads into an object; numbers from 0 on make
//   it a list.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace penstock {

absl::StatusOr<nlohmann::json> parse_filter_options(const std::vector<std::string>& words);

}  // namespace penstock
