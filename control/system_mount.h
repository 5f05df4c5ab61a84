// SPDX-License-Identifier: Apache-2.0
// The blocking calls behind LocalHost: mounting through libfuse3, unmounting.
//
// Ownership: returned descriptors belong to the caller.
// Threads: any thread that may block; mounts are made one at a time, since libfuse's log and the
//   process's stderr are diverted meanwhile.
// Errors: the errno where there is one (fusermount3 gives only text: EPERM), the path, and what
//   libfuse or fusermount3 said.
// Invariants: libfuse never unmounts and never reads a request: it only mounts.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/host_services.h"
#include "base/thread_roles.h"
#include "base/unique_fd.h"

namespace penstock {

absl::StatusOr<UniqueFd> mount_fuse(const MountRequest& request) BLOCKING_CODE;

// EBUSY if it is in use. OK if no mount of ours is there any more.
absl::Status unmount_fuse(const std::string& mount_point, bool lazy) BLOCKING_CODE;

}  // namespace penstock
