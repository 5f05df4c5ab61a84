// SPDX-License-Identifier: Apache-2.0
// The file of a Unix socket: its address, whether somebody listens there, and the lock under which
// such files are made and removed.
//
// Ownership: a FolderLock holds its lock until it is destroyed.
// Threads: any that may block; unix_address() is pure.
// Errors: ENAMETOOLONG with the limit; EBUSY for a folder that others keep locked; else the
//   system's, with the path.
// Invariants: a server makes its file and listens within one FolderLock, so that under it a file
//   where nobody listens is a dead server's.
#pragma once

#include <sys/un.h>

#include <chrono>
#include <string>

#include "absl/status/statusor.h"
#include "base/thread_roles.h"
#include "base/unique_fd.h"

namespace penstock {

absl::StatusOr<sockaddr_un> unix_address(const std::string& path);

// A connection to the server that listens at the path; ECONNREFUSED if none does any more.
// EAGAIN if the server does not accept within `limit`; 0: waits for ever.
absl::StatusOr<UniqueFd> connect_to_socket(const std::string& path,
                                           std::chrono::milliseconds limit = {}) BLOCKING_CODE;

class FolderLock {
 public:
  // Of the folder that `path` is in. Waits a little for others.
  static absl::StatusOr<FolderLock> take(const std::string& path) BLOCKING_CODE;

 private:
  explicit FolderLock(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

// Removes the file if it is a socket where nobody listens; true if nothing is there any more.
// `lock` is the lock of its folder.
bool remove_dead_socket(const std::string& path, const FolderLock& lock) BLOCKING_CODE;

}  // namespace penstock
