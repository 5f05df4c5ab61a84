// SPDX-License-Identifier: Apache-2.0
// Ends a mount and waits for its server.
//
// Ownership: nothing is kept.
// Threads: any that may block.
// Errors: EINVAL if nothing of ours is mounted there; EBUSY naming who uses it; the server's own
//   last error, such as a failed flush.
// Invariants: OK means that the image is flushed and closed.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "base/thread_roles.h"

namespace penstock {

// `path` names the mount point or the file in it.
absl::Status unmount_and_wait(const std::string& path) BLOCKING_CODE;

}  // namespace penstock
