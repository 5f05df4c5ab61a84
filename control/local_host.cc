// SPDX-License-Identifier: Apache-2.0
#include "control/local_host.h"

#include <fcntl.h>
#include <linux/fuse.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <cstdint>

#include "base/printable_text.h"
#include "base/status.h"
#include "control/open_without_links.h"
#include "control/system_mount.h"

namespace penstock {
namespace {

absl::StatusOr<UniqueFd> open_file(const std::string& path, int flags) {
  UniqueFd fd(::open(path.c_str(), flags | O_CLOEXEC));
  if (!fd.valid()) return errno_status(errno, "cannot open '" + printable_text(path) + "'");
  return fd;
}

absl::StatusOr<UniqueFd> create_file(const std::string& path, mode_t mode) {
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, mode));
  if (!fd.valid()) return errno_status(errno, "cannot create '" + printable_text(path) + "'");
  return fd;
}

absl::StatusOr<UniqueFd> clone_session(int session_fd) {
  UniqueFd fd(::open("/dev/fuse", O_RDWR | O_CLOEXEC));
  if (!fd.valid()) return errno_status(errno, "cannot open '/dev/fuse'");
  uint32_t source = static_cast<uint32_t>(session_fd);
  if (::ioctl(fd.get(), FUSE_DEV_IOC_CLONE, &source) != 0) {
    return errno_status(errno, "cannot clone the FUSE session");
  }
  return fd;
}

}  // namespace

absl::StatusOr<UniqueFd> LocalHost::co_open(const std::string& path, int flags) {
  return storage_.co_try_run([&] { return own_mounts_.refuse(open_file(path, flags), path); });
}

absl::StatusOr<UniqueFd> LocalHost::co_open_resolved(const std::string& path, int flags) {
  return storage_.co_try_run(
      [&] { return own_mounts_.refuse(open_without_links(path, flags), path); });
}

absl::StatusOr<UniqueFd> LocalHost::co_create(const std::string& path, mode_t mode) {
  return storage_.co_try_run([&] { return create_file(path, mode); });
}

absl::StatusOr<UniqueFd> LocalHost::co_mount(const MountRequest& request) {
  return pool_.co_run([&] {
    absl::StatusOr<UniqueFd> session = mount_fuse(request);
    if (session.ok()) own_mounts_.add(request.mount_point);
    return session;
  });
}

absl::Status LocalHost::co_unmount(const std::string& mount_point, bool lazy) {
  return pool_.co_run([&] { return unmount_fuse(mount_point, lazy); });
}

absl::StatusOr<UniqueFd> LocalHost::co_clone_session(int session_fd) {
  return pool_.co_run([&] { return clone_session(session_fd); });
}

}  // namespace penstock
