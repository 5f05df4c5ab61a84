// SPDX-License-Identifier: Apache-2.0
#include "fuse/mount_point.h"

#include <errno.h>
#include <sys/stat.h>

#include "base/status.h"
#include "fuse/protocol.h"
#include "iothreads/thread_pool.h"

namespace penstock {
namespace {

absl::StatusOr<struct stat> co_stat(const std::string& path) COROUTINE_CODE {
  return ThreadPool::storage().co_try_run([&path]() -> absl::StatusOr<struct stat> {
    struct stat attributes = {};
    if (stat(path.c_str(), &attributes) == 0) return attributes;
    return errno_status(errno, "looking at \"" + path + "\"");
  });
}

}  // namespace

absl::StatusOr<bool> co_is_regular_file(const std::string& path) {
  const absl::StatusOr<struct stat> attributes = co_stat(path);
  if (!attributes.ok()) return annotate(attributes.status(), "the mount point");
  if (S_ISREG(attributes->st_mode)) return true;
  if (S_ISDIR(attributes->st_mode)) return false;
  return errno_message(
      ENOTDIR, "the mount point \"" + path + "\" is neither a directory nor a regular file");
}

bool co_is_dead_mount(const std::string& path) {
  return status_errno(co_stat(path).status()) == ENOTCONN;
}

timespec co_modification_time(const std::string& path) {
  if (!path.empty()) {
    const absl::StatusOr<struct stat> attributes = co_stat(path);
    if (attributes.ok()) return attributes->st_mtim;
  }
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return now;
}

MountRequest make_mount_request(const ExportOptions& options, bool writable) {
  MountRequest request;
  request.mount_point = options.mount_point;
  request.options = {"subtype=penstock", "default_permissions", "nosuid", "nodev",
                     "max_read=" + std::to_string(kMaxTransfer)};
  if (!options.file_name_shown.empty()) {
    request.options.push_back("fsname=" + options.file_name_shown);
  }
  if (!writable) request.options.push_back("ro");
  if (options.allow_other) request.options.push_back("allow_other");
  request.options.insert(request.options.end(), options.mount_options.begin(),
                         options.mount_options.end());
  return request;
}

}  // namespace penstock
