// SPDX-License-Identifier: Apache-2.0
// Host services for tests that run as root: mount(2) itself, without a helper program.
//
// Ownership: a test's; it outlives the exports.
// Threads: any coroutine. Blocking calls go to the thread pool.
// Errors: the exact errno of the system call.
// Invariants: none.
#pragma once

#include <string>

#include "base/host_services.h"

namespace penstock {

class DirectMountHost : public HostServices {
 public:
  // Set before use: clones are refused with this errno.
  int clone_error = 0;

  absl::StatusOr<UniqueFd> co_open(const std::string& path, int flags) override COROUTINE_CODE;
  absl::StatusOr<UniqueFd> co_open_resolved(const std::string& path,
                                            int flags) override COROUTINE_CODE;
  absl::StatusOr<UniqueFd> co_mount(const MountRequest& request) override COROUTINE_CODE;
  absl::Status co_unmount(const std::string& mount_point, bool lazy) override COROUTINE_CODE;
  absl::StatusOr<UniqueFd> co_clone_session(int session_fd) override COROUTINE_CODE;
};

// True if this process may mount FUSE here; else `why` says what is missing.
bool can_mount(std::string* why);

}  // namespace penstock
