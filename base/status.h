// SPDX-License-Identifier: Apache-2.0
// Errors with the exact errno kept: absl::Status plus a payload.
//
// Ownership: values.
// Threads: pure functions, callable anywhere.
// Errors: none of their own. errno_status(0, ...) is OK.
// Invariants: status_errno(errno_status(e, m)) == e; annotations keep the errno.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace penstock {

// A failure with the given positive errno. The text says what failed and to what; ": <strerror>" is
// appended.
absl::Status errno_status(int error_number, std::string_view what);

// As errno_status, but with a complete sentence as its text; nothing is appended.
absl::Status errno_message(int error_number, std::string_view message);

// The positive errno of a failure: the payload's, or the nearest one to its code. 0 for OK.
int status_errno(const absl::Status& status);

// The same failure with "context: " before its text. OK stays OK.
absl::Status annotate(const absl::Status& status, std::string_view context);

// The text for a person, without absl's code prefix.
std::string status_text(const absl::Status& status);

}  // namespace penstock
