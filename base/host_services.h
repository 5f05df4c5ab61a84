// SPDX-License-Identifier: Apache-2.0
// The one seam through which Penstock opens files, mounts and unmounts.
//
// Behind it stands either the process itself or a broker process, so that the server can give up
// its rights. No other code opens an image or mounts.
//
// Ownership: the composition root owns the implementation; it outlives every node and session.
//   Returned descriptors belong to the caller.
// Threads: any coroutine on any context; the calls yield and never block the calling thread.
// Errors: the exact errno of the system call, with the path in the text.
// Invariants: paths are used as given; who may name which path is the caller's decision.
#pragma once

#include <sys/types.h>

#include <cerrno>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/status.h"
#include "base/thread_roles.h"
#include "base/unique_fd.h"

namespace penstock {

struct MountRequest {
  std::string mount_point;           // an existing directory or regular file
  std::vector<std::string> options;  // "allow_other", "fsname=...", as for mount -o
};

class HostServices {
 public:
  virtual ~HostServices() = default;

  // Opens an existing file with open(2)'s flags; O_CLOEXEC is added.
  virtual absl::StatusOr<UniqueFd> co_open(const std::string& path, int flags) COROUTINE_CODE = 0;

  // As co_open, for an absolute path without symbolic links, "." and "..": ELOOP if a part of it
  // has become a link, so that what was resolved and judged is what is opened.
  virtual absl::StatusOr<UniqueFd> co_open_resolved(const std::string& path,
                                                    int flags) COROUTINE_CODE = 0;

  // Creates a regular file that is not there yet, and opens it for reading and writing; `mode` as
  // for open(2). EEXIST if something is there. Not every host can: EOPNOTSUPP.
  virtual absl::StatusOr<UniqueFd> co_create(const std::string& path, mode_t mode) COROUTINE_CODE;

  // Mounts a FUSE filesystem and returns its /dev/fuse descriptor, before FUSE_INIT.
  virtual absl::StatusOr<UniqueFd> co_mount(const MountRequest& request) COROUTINE_CODE = 0;

  // Unmounts; `lazy` detaches a busy mount. OK if nothing is mounted there any more.
  virtual absl::Status co_unmount(const std::string& mount_point, bool lazy) COROUTINE_CODE = 0;

  // One more descriptor of the session of `session_fd` (FUSE_DEV_IOC_CLONE).
  virtual absl::StatusOr<UniqueFd> co_clone_session(int session_fd) COROUTINE_CODE = 0;
};

inline absl::StatusOr<UniqueFd> HostServices::co_create(const std::string& path, mode_t /*mode*/) {
  return errno_message(EOPNOTSUPP, "'" + path + "' cannot be created here.");
}

}  // namespace penstock
