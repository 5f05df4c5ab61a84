// SPDX-License-Identifier: Apache-2.0
// Runs a program and keeps what it says.
//
// Ownership: nothing outlives the call, but for a program that the kernel cannot end yet: it is
//   killed, and left behind.
// Threads: any thread that may block.
// Errors: the errno of starting it; ETIMEDOUT and EFBIG past the limits and ECANCELED when it is
//   stopped, each after it was killed; the program's own failure is in its exit status.
// Invariants: the program inherits no descriptor but the standard three.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/thread_roles.h"

namespace penstock {

struct ProgramResult {
  int exit_status = 0;  // 128 + the signal if one ended it
  std::string output;   // stdout and stderr, without the last newline
};

struct ProgramLimits {
  size_t output = SIZE_MAX;                       // bytes
  std::optional<std::chrono::milliseconds> time;  // none: as long as it takes
  int stop_fd = -1;                               // readable: end it, or do not start it
};

// `arguments[0]` is looked up in PATH. Runs in the C locale, so that messages can be compared.
absl::StatusOr<ProgramResult> run_program(const std::vector<std::string>& arguments,
                                          const ProgramLimits& limits = {}) BLOCKING_CODE;

}  // namespace penstock
