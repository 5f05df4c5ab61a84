// SPDX-License-Identifier: Apache-2.0
// The place of a mount: whether one may be made there, and which one a path means.
//
// Ownership: values.
// Threads: any that may block.
// Errors: the errno of stat; ENOTDIR for what is neither directory nor regular file; EBUSY for a
//   mount of ours that is alive; the text says what to do.
// Invariants: only mounts of type fuse.penstock whose server has ended are ever removed here.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/thread_roles.h"

namespace penstock {

// `path` without "." and ".." and links, as the mount table shows it. Works for a stale mount.
std::string canonical_mount_point(const std::string& path) BLOCKING_CODE;

// Checks that `mount_point` (canonical) can be mounted on; removes what a killed server left there.
absl::Status prepare_mount_point(const std::string& mount_point) BLOCKING_CODE;

// The mount of ours that `path` names: its mount point, or a file in it.
absl::StatusOr<std::string> find_mount_of(const std::string& path) BLOCKING_CODE;

}  // namespace penstock
