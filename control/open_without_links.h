// SPDX-License-Identifier: Apache-2.0
// Opens exactly the file that a resolved path was judged to be.
//
// Ownership: the caller owns the descriptor.
// Threads: any; it blocks.
// Errors: ELOOP if a part of the path is a symbolic link, else open(2)'s.
// Invariants: no symbolic link is followed, where openat2 is not there (before Linux 5.6) or
//   forbidden neither.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "base/thread_roles.h"
#include "base/unique_fd.h"

namespace penstock {

// `path` is absolute; `flags` are open(2)'s, O_CLOEXEC is added.
absl::StatusOr<UniqueFd> open_without_links(const std::string& path, int flags) BLOCKING_CODE;

}  // namespace penstock
