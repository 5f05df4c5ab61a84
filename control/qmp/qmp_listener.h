// SPDX-License-Identifier: Apache-2.0
// The listening end of the control socket, and its file if it made one.
//
// Ownership: owns the descriptor. The file is removed by remove_file() alone, or stays for the next
//   server to replace.
// Threads: open(), adopt() and remove_file() where blocking is allowed; else a value.
// Errors: EBUSY for a path where somebody listens, EEXIST for a file that is no socket,
//   ENAMETOOLONG; else the system's, with the path. EINVAL for a descriptor that does not listen.
// Invariants: two servers that start at once never take each other's path: the folder is locked
//   meanwhile. The file has mode 0600 before anybody can connect.
#pragma once

#include <sys/types.h>

#include <string>

#include "absl/status/statusor.h"
#include "base/thread_roles.h"
#include "base/unique_fd.h"

namespace penstock {

class QmpListener {
 public:
  static absl::StatusOr<QmpListener> open(const std::string& path) BLOCKING_CODE;

  // A socket that listens already, passed to this process by whoever made it.
  static absl::StatusOr<QmpListener> adopt(int fd) BLOCKING_CODE;

  int fd() const { return fd_.get(); }
  // Empty for an adopted one: who may connect is then its maker's business.
  const std::string& path() const { return path_; }
  // Nobody can connect any more. A file that somebody else has put there since stays.
  void remove_file() BLOCKING_CODE;

 private:
  QmpListener(UniqueFd fd, std::string path, dev_t device, ino_t inode)
      : fd_(std::move(fd)), path_(std::move(path)), device_(device), inode_(inode) {}

  UniqueFd fd_;
  std::string path_;
  dev_t device_;
  ino_t inode_;
};

}  // namespace penstock
