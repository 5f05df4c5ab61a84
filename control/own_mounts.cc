// SPDX-License-Identifier: Apache-2.0
#include "control/own_mounts.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cerrno>
#include <optional>
#include <utility>

#include "base/printable_text.h"
#include "base/status.h"
#include "control/mount_table.h"

namespace penstock {
namespace {

// What fstat() says, without a question to the file system.
dev_t device_of(const UniqueFd& file) {
  struct statx facts;
  if (::statx(file.get(), "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, 0, &facts) != 0) return 0;
  return makedev(facts.stx_dev_major, facts.stx_dev_minor);
}

bool is_mounted(dev_t device, const std::string& mount_point) {
  for (const MountEntry& entry : read_mount_table()) {
    if (entry.device == device && entry.mount_point == mount_point && entry.is_ours()) return true;
  }
  return false;
}

}  // namespace

void OwnMounts::add(const std::string& mount_point) {
  const std::optional<MountEntry> entry = mount_at(mount_point);
  if (!entry || !entry->is_ours()) return;
  const ThreadLock lock(mutex_);
  mount_points_[entry->device] = mount_point;
}

absl::StatusOr<UniqueFd> OwnMounts::refuse(absl::StatusOr<UniqueFd> file, const std::string& path) {
  if (!file.ok()) return file;
  const dev_t device = device_of(*file);
  std::string mount_point;
  {
    const ThreadLock lock(mutex_);
    const auto found = mount_points_.find(device);
    if (found == mount_points_.end()) return file;
    mount_point = found->second;
  }
  if (!is_mounted(device, mount_point)) return file;
  return errno_message(EDEADLK,
                       "'" + printable_text(path) + "' lies in '" + printable_text(mount_point) +
                           "', which this process serves itself: it would wait for itself. "
                           "Name the image, not what shows it.");
}

}  // namespace penstock
