// SPDX-License-Identifier: Apache-2.0
// What a fuzzer checks beside crashes.
//
// Ownership: none.
// Threads: any.
// Errors: a broken promise aborts with its text, which the fuzzer reports as a crash.
// Invariants: checked in every build.
#pragma once

#include <string_view>

namespace penstock {

// Aborts with `promise` unless `kept`.
void expect(bool kept, std::string_view promise);

}  // namespace penstock
