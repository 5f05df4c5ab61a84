// SPDX-License-Identifier: Apache-2.0
#include "control/unmount.h"

#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/status.h"
#include "control/busy_holders.h"
#include "control/log.h"
#include "control/mount_point.h"
#include "control/mount_registry.h"
#include "control/mount_table.h"
#include "control/system_mount.h"

namespace penstock {
namespace {

// Whoever looks at a path of the mount, as df does, holds it for that moment.
constexpr std::chrono::milliseconds kPassing{1000};
constexpr std::chrono::milliseconds kRetry{20};

std::string names_of_holders(const std::string& mount_point) {
  std::string users;
  for (const std::string& holder : find_busy_holders(mount_point)) {
    users += (users.empty() ? "" : ", ") + holder;
  }
  return users;
}

// Tries again while it is busy and nobody is seen to use it.
absl::Status unmount_unless_used(const std::string& mount_point) {
  const auto deadline = std::chrono::steady_clock::now() + kPassing;
  std::string users;
  for (;;) {
    absl::Status status = unmount_fuse(mount_point, /*lazy=*/false);
    if (status_errno(status) != EBUSY) return status;
    users = names_of_holders(mount_point);
    if (!users.empty() || std::chrono::steady_clock::now() >= deadline) break;
    std::this_thread::sleep_for(kRetry);
  }
  return errno_message(
      EBUSY, "'" + mount_point + "' is in use" +
                 (users.empty() ? " by a process that this user may not see" : " by " + users) +
                 ": end that use, then unmount again");
}

}  // namespace

absl::Status unmount_and_wait(const std::string& path) {
  const absl::StatusOr<std::string> mount_point = find_mount_of(path);
  if (!mount_point.ok()) return mount_point.status();
  const std::optional<MountEntry> entry = mount_at(*mount_point);
  const uid_t user = ::geteuid();
  const uid_t owner = entry ? entry->user.value_or(user) : user;
  if (user != 0 && owner != user) {
    return errno_message(EPERM, "'" + *mount_point + "' was mounted by user " +
                                    std::to_string(owner) +
                                    ": only that user or root can unmount it");
  }

  const std::optional<MountWatch> server = MountWatch::find(*mount_point, owner);
  const bool was_alive = server && server->server_is_alive();
  const absl::Status status = unmount_unless_used(*mount_point);
  if (!status.ok()) return status;

  if (was_alive) return server->wait_for_end();
  log_line(LogLevel::kWarning, server ? "the server of '" + *mount_point + "' (PID " +
                                            std::to_string(server->state().pid) +
                                            ") had been killed before; its stale mount is gone now"
                                      : "no record of the server of '" + *mount_point +
                                            "' was found, so nothing is known about its end");
  return absl::OkStatus();
}

}  // namespace penstock
