// SPDX-License-Identifier: Apache-2.0
// The filesystems that this process serves, so that it does not open its own files: what is
// written to an image that lies in itself waits for itself, for ever.
//
// Ownership: values.
// Threads: any that may block.
// Errors: EDEADLK for a file of an own mount, with the mount point.
// Invariants: no file system is asked, so that nothing here waits for a server. A mount that has
//   gone refuses nothing.
#pragma once

#include <sys/types.h>

#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "base/thread_roles.h"
#include "base/unique_fd.h"
#include "iothreads/thread_mutex.h"

namespace penstock {

class OwnMounts {
 public:
  // It has been mounted just now, at this absolute path.
  void add(const std::string& mount_point) BLOCKING_CODE;
  // `file` as it is, unless it is open and lies in an own mount.
  absl::StatusOr<UniqueFd> refuse(absl::StatusOr<UniqueFd> file,
                                  const std::string& path) BLOCKING_CODE;

 private:
  ThreadMutex mutex_{"own mounts"};
  std::map<dev_t, std::string> mount_points_ GUARDED_BY(mutex_);
};

}  // namespace penstock
