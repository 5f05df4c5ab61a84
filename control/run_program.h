// SPDX-License-Identifier: Apache-2.0
// Runs a program and keeps what it says.
//
// Ownership: nothing outlives the call.
// Threads: any thread that may block.
// Errors: the errno of starting it; the program's own failure is in its exit status.
// Invariants: the program inherits no descriptor but the standard three.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/thread_roles.h"

namespace penstock {

struct ProgramResult {
  int exit_status = 0;  // 128 + the signal if one ended it
  std::string output;   // stdout and stderr, without the last newline
};

// `arguments[0]` is looked up in PATH. Runs in the C locale, so that messages can be compared.
absl::StatusOr<ProgramResult> run_program(const std::vector<std::string>& arguments) BLOCKING_CODE;

}  // namespace penstock
