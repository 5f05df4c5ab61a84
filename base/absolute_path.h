// SPDX-License-Identifier: Apache-2.0
// A path from the root, as it is meant where a command is given.
//
// Ownership: values.
// Threads: any; the working directory is the process's.
// Errors: EINVAL for an empty path, ENOENT for a relative one in a directory that was removed.
// Invariants: links are not followed, and nothing needs to be there.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace penstock {

absl::StatusOr<std::string> absolute_path(const std::string& path);

}  // namespace penstock
