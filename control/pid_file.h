// SPDX-License-Identifier: Apache-2.0
// The file that names a server's PID while it runs.
//
// Ownership: the file is removed at this object's end.
// Threads: any that may block.
// Errors: EBUSY while another server has the file, naming its PID; else those of writing it, with
//   its path.
// Invariants: it is written after the server accepts its users' requests. It stays locked while it
//   is there, in the way of QEMU's tools: two servers never share one.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "base/unique_fd.h"

namespace penstock {

class PidFile {
 public:
  PidFile() = default;
  PidFile(const PidFile&) = delete;
  PidFile& operator=(const PidFile&) = delete;
  ~PidFile() { remove(); }

  // `path` is absolute.
  absl::Status write(const std::string& path);
  void remove();

 private:
  absl::Status fill();

  std::string path_;  // empty: none is there
  UniqueFd fd_;       // holds the lock
};

}  // namespace penstock
