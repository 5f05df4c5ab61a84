// SPDX-License-Identifier: Apache-2.0
// Text that an image chose, made fit for a terminal and for one line of a log.
//
// Ownership: values.
// Threads: pure.
// Errors: none.
// Invariants: the answer holds no control characters; a control character becomes "\xNN".
#pragma once

#include <string>
#include <string_view>

namespace penstock {

// Of a text of more than `longest` bytes, the beginning and "...".
std::string printable_text(std::string_view text, size_t longest = std::string_view::npos);

// Bytes of a name that a message quotes.
inline constexpr size_t kLongestQuote = 80;

}  // namespace penstock
