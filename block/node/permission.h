// SPDX-License-Identifier: Apache-2.0
// What a user of a node may do, and what it allows others to do at the same time.
//
// Ownership: values.
// Threads: pure.
// Errors: none.
// Invariants: for every two users a, b of one node, a.taken is within b.shared and the reverse.
//   kWrite implies kWriteUnchanged.
#pragma once

#include <cstdint>
#include <string>

namespace penstock {

using Permission = uint32_t;

// The numbers are the byte offsets of QEMU's image locks (100 + bit, 200 + bit).
inline constexpr Permission kConsistentRead = 1u << 0;
inline constexpr Permission kWrite = 1u << 1;
inline constexpr Permission kWriteUnchanged = 1u << 2;
inline constexpr Permission kResize = 1u << 3;
inline constexpr Permission kAllPermissions = 0xf;

struct Permissions {
  Permission taken = 0;
  Permission shared = kAllPermissions;

  friend bool operator==(const Permissions&, const Permissions&) = default;
};

// What `b` takes that `a` does not share.
inline Permission conflict_between(const Permissions& a, const Permissions& b) {
  return b.taken & ~a.shared;
}

// Of two users' together: both takings, only what both share.
inline Permissions combine(const Permissions& a, const Permissions& b) {
  return {a.taken | b.taken, a.shared & b.shared};
}

// "consistent read, write", for messages.
std::string permission_names(Permission permissions);

}  // namespace penstock
