// SPDX-License-Identifier: Apache-2.0
// The list behind "-o", as in mount(8): words and settings between commas.
//
// Ownership: values.
// Threads: pure.
// Errors: EINVAL, naming the option and what it takes.
// Invariants: a comma that belongs to a value is written "\,".
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "control/mount_plan.h"

namespace penstock {

// The two words that exclude each other, wherever they were said.
struct AccessWords {
  bool read_only = false;
  bool writable = false;
};

// Reads `list` into `plan` and `access`. What is not in it stays as it is.
absl::Status apply_mount_options(const std::string& list, MountPlan& plan, AccessWords& access);

// Where commands are to be taken: a path, or "none".
absl::Status set_command_socket(const std::string& word, MountPlan& plan);

// "4096", "512K", "1M", "2G", "1T" in bytes; nothing for other texts.
std::optional<uint64_t> parse_byte_size(const std::string& text);

}  // namespace penstock
