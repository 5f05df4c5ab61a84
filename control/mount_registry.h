// SPDX-License-Identifier: Apache-2.0
// What runs where: one small file for each mount, locked by its server for as long as it lives.
//
// Ownership: a server owns its record; readers have a snapshot, or a watch on the open file.
// Threads: any that may block.
// Errors: EBUSY if a living server has the mount point already; others with the path.
// Invariants: a file whose lock is free belongs to no living server; whoever sees it removes it,
//   once nothing is mounted there any more.
//   The lock of a server's record is released by its end alone, after the image is closed.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/thread_roles.h"
#include "base/unique_fd.h"

namespace penstock {

struct MountState {
  std::string image;
  std::string format;  // empty until the image is open
  std::string mode;    // "ro" or "rw"
  std::string mount_point;
  pid_t pid = 0;
  unsigned iothreads = 0;
  std::string engine;   // "io_uring", "epoll"; empty until the server runs
  std::string started;  // ISO 8601, UTC
  std::string socket;   // where its server takes commands: an absolute path; empty: nowhere
  uid_t owner = 0;      // whose record it is; not written, as its file says it
};

// The present time as `started` says it.
std::string utc_now();

// The server's side.
class MountRecord {
 public:
  // Claims the mount point. Waits a little for a server that has unmounted and is about to end.
  static absl::StatusOr<MountRecord> publish(const MountState& state) BLOCKING_CODE;
  MountRecord(MountRecord&&) = default;
  ~MountRecord();

  absl::Status update(const MountState& state);
  // Leaves the server's last word for who watches, and takes the file from the list. The lock stays
  // until this object or the process ends.
  void finish(const absl::Status& result);

 private:
  MountRecord(UniqueFd fd, std::string path, MountState state);

  UniqueFd fd_;
  std::string path_;
  MountState state_;
  bool finished_ = false;
};

// The states of all living servers whose records this user may read. Removes those of dead ones,
// but for that of a stale mount: who unmounts it wants to know.
std::vector<MountState> read_mount_registry() BLOCKING_CODE;

// The side of whoever waits for a server's end.
class MountWatch {
 public:
  // Nothing if no record of `owner` names the mount point: who mounted it, as the kernel says, so
  // that nobody can put a record of theirs before it.
  static std::optional<MountWatch> find(const std::string& mount_point, uid_t owner) BLOCKING_CODE;

  const MountState& state() const { return state_; }
  // False once the server has ended.
  bool server_is_alive() const;
  // Waits, without limit, for the server's end and answers its last word; ESHUTDOWN if it ended
  // without one (it was killed).
  absl::Status wait_for_end() const BLOCKING_CODE;

 private:
  MountWatch(UniqueFd fd, MountState state) : fd_(std::move(fd)), state_(std::move(state)) {}

  UniqueFd fd_;
  MountState state_;
};

}  // namespace penstock
