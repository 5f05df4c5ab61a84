// SPDX-License-Identifier: Apache-2.0
// Options of a command line as QEMU writes them: "qcow2,file.driver=file,file.filename=a,,b".
//
// A key is names and list indices between dots; a value ends at a comma, and ",," is a comma in it.
// Of a key that comes twice the last value counts. The first option may be a bare value, which is
// then that of the implied key.
//
// Ownership: values.
// Threads: pure.
// Errors: EINVAL, with QEMU's text, which names the key.
// Invariants: the answer is an object of strings, objects and arrays, no deeper than kKeyvalDepth;
//   no array has holes. Types are given by option_types.h.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace penstock {

inline constexpr size_t kKeyvalDepth = 64;         // names in one key
inline constexpr size_t kKeyvalLongestName = 127;  // bytes

// `implied_key`: empty if there is none.
absl::StatusOr<nlohmann::json> parse_keyval(std::string_view text, const std::string& implied_key);

// The words of one option that is a flat list, as --chardev takes it: "server" is "server=on" and
// "nowait" is "wait=off", in QEMU's older way. Values are strings.
absl::StatusOr<nlohmann::json> parse_flat_options(std::string_view text,
                                                  const std::string& implied_key);

// One JSON object and nothing else, with QEMU's single quotes where somebody likes them.
absl::StatusOr<nlohmann::json> parse_json_object(std::string_view text);

}  // namespace penstock
