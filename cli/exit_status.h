// SPDX-License-Identifier: Apache-2.0
// What the program's exit status means, and how failures are shown.
//
// Ownership: values.
// Threads: pure, but for printing.
// Errors: none.
// Invariants: the numbers are documented in penstock(1) and do not change.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace penstock {

inline constexpr int kDone = 0;
inline constexpr int kFailed = 1;
inline constexpr int kUsage = 2;

// Prints "penstock: text" to stderr.
void print_error(const std::string& text);

// Prints a failure, if it is one, and answers the exit status. The text may come from elsewhere: it
// is made printable, and one line.
int report(const absl::Status& status);

}  // namespace penstock
