// SPDX-License-Identifier: Apache-2.0
#include "tests/fuse/direct_mount_host.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/status.h"
#include "fuse/protocol.h"
#include "iothreads/thread_pool.h"

namespace penstock {
namespace {

struct ParsedOptions {
  std::string source = "penstock";
  std::string type = "fuse";
  unsigned long flags = 0;
  std::string data;
};

ParsedOptions parse(const MountRequest& request) {
  ParsedOptions parsed;
  for (const std::string& option : request.options) {
    const size_t equals = option.find('=');
    const std::string key = option.substr(0, equals);
    const std::string value = equals == std::string::npos ? "" : option.substr(equals + 1);
    if (key == "ro") {
      parsed.flags |= MS_RDONLY;
    } else if (key == "nosuid") {
      parsed.flags |= MS_NOSUID;
    } else if (key == "nodev") {
      parsed.flags |= MS_NODEV;
    } else if (key == "fsname") {
      parsed.source = value;
    } else if (key == "subtype") {
      parsed.type = "fuse." + value;
    } else {
      parsed.data += "," + option;
    }
  }
  return parsed;
}

absl::StatusOr<UniqueFd> mount_now(const MountRequest& request) {
  struct stat attributes;
  if (stat(request.mount_point.c_str(), &attributes) != 0) return errno_status(errno, "stat");
  UniqueFd fd(open("/dev/fuse", O_RDWR | O_CLOEXEC));
  if (!fd.valid()) return errno_status(errno, "opening /dev/fuse");
  const ParsedOptions parsed = parse(request);
  char data[256];
  snprintf(data, sizeof(data), "fd=%d,rootmode=%o,user_id=%u,group_id=%u%s", fd.get(),
           attributes.st_mode & S_IFMT, geteuid(), getegid(), parsed.data.c_str());
  if (mount(parsed.source.c_str(), request.mount_point.c_str(), parsed.type.c_str(), parsed.flags,
            data) != 0) {
    return errno_status(errno, "mounting on \"" + request.mount_point + "\"");
  }
  return fd;
}

}  // namespace

absl::StatusOr<UniqueFd> DirectMountHost::co_open(const std::string& path, int flags) {
  return ThreadPool::shared().co_run([&]() -> absl::StatusOr<UniqueFd> {
    UniqueFd fd(open(path.c_str(), flags | O_CLOEXEC));
    if (!fd.valid()) return errno_status(errno, "opening \"" + path + "\"");
    return fd;
  });
}

absl::StatusOr<UniqueFd> DirectMountHost::co_open_resolved(const std::string& path, int flags) {
  return co_open(path, flags | O_NOFOLLOW);
}

absl::StatusOr<UniqueFd> DirectMountHost::co_mount(const MountRequest& request) {
  return ThreadPool::shared().co_run([&] { return mount_now(request); });
}

absl::Status DirectMountHost::co_unmount(const std::string& mount_point, bool lazy) {
  return ThreadPool::shared().co_run([&] {
    if (umount2(mount_point.c_str(), UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)) == 0 ||
        errno == EINVAL) {
      return absl::OkStatus();
    }
    return errno_status(errno, "unmounting \"" + mount_point + "\"");
  });
}

absl::StatusOr<UniqueFd> DirectMountHost::co_clone_session(int session_fd) {
  if (clone_error != 0) return errno_status(clone_error, "opening /dev/fuse for another queue");
  return ThreadPool::shared().co_run([&]() -> absl::StatusOr<UniqueFd> {
    UniqueFd fd(open("/dev/fuse", O_RDWR | O_CLOEXEC));
    uint32_t session = session_fd;
    if (!fd.valid() || ioctl(fd.get(), FUSE_DEV_IOC_CLONE, &session) != 0) {
      return errno_status(errno, "cloning the FUSE descriptor");
    }
    return fd;
  });
}

bool can_mount(std::string* why) {
  const UniqueFd fd(open("/dev/fuse", O_RDWR | O_CLOEXEC));
  if (!fd.valid()) {
    *why = "/dev/fuse cannot be opened";
    return false;
  }
  if (geteuid() != 0) {
    *why = "not root";
    return false;
  }
  return true;
}

}  // namespace penstock
