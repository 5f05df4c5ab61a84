// SPDX-License-Identifier: Apache-2.0
// Image formats that Penstock recognises by name before it has a driver for them, so that their
// bytes are not served as if they were a disk's. Asked after the drivers.
//
// Ownership: literals.
// Threads: pure.
// Errors: none.
// Invariants: names are QEMU's where QEMU has the format.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

namespace penstock {

inline constexpr size_t kFormatTailSize = 512;  // bytes

// The format whose mark is at the start of an image or in its last 512 bytes; empty if none is.
std::string_view find_foreign_format(std::span<const std::byte> head,
                                     std::span<const std::byte> tail);

// True if `name` is one of the formats above.
bool is_foreign_format(std::string_view name);

}  // namespace penstock
