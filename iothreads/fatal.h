// SPDX-License-Identifier: Apache-2.0
// The end of a process whose runtime invariants are broken.
//
// Ownership: none.
// Threads: any.
// Errors: does not return.
// Invariants: prints one line on stderr, then aborts.
#pragma once

#include <string_view>

namespace penstock {

// "penstock: <what>" or "penstock: <what>: <subject>".
[[noreturn]] void fatal(std::string_view what, std::string_view subject = {});

}  // namespace penstock
