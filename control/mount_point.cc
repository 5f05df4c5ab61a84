// SPDX-License-Identifier: Apache-2.0
#include "control/mount_point.h"

#include <sys/stat.h>
#include <sys/vfs.h>

#include <cerrno>
#include <filesystem>
#include <optional>
#include <system_error>

#include "base/status.h"
#include "control/log.h"
#include "control/mount_table.h"
#include "control/system_mount.h"

namespace penstock {
namespace {

namespace fs = std::filesystem;

constexpr int kMaxStaleMounts = 16;  // that lie on one another

std::string without_last_slash(const fs::path& path) {
  std::string text = path.lexically_normal().string();
  while (text.size() > 1 && text.back() == '/') text.pop_back();
  return text;
}

// Asks the server itself: what stat answers may come from the kernel's cache. A server that is just
// being killed is waited for.
bool server_has_ended(const std::string& mount_point) {
  struct statfs facts;
  return ::statfs(mount_point.c_str(), &facts) != 0 && (errno == ENOTCONN || errno == ECONNABORTED);
}

absl::Status refuse(const std::string& mount_point, int error) {
  const std::string what = "cannot mount at '" + mount_point + "'";
  if (error == ENOENT) {
    return errno_message(ENOENT, what + ": it does not exist; make it with 'mkdir'");
  }
  if (error == ENOTDIR) {
    return errno_message(ENOTDIR, what + ": it is neither a directory nor a regular file");
  }
  return errno_status(error, what);
}

}  // namespace

std::string canonical_mount_point(const std::string& path) {
  std::error_code error;
  const fs::path from_root = fs::absolute(path, error);
  if (error) return path;  // the working directory was removed
  const std::string absolute = without_last_slash(from_root);
  if (mount_at(absolute)) return absolute;  // without touching it: it may be stale
  const fs::path whole = fs::canonical(absolute, error);
  if (!error) return whole.string();
  const fs::path parent = fs::canonical(fs::path(absolute).parent_path(), error);
  if (!error) return without_last_slash(parent / fs::path(absolute).filename());
  return absolute;
}

absl::Status prepare_mount_point(const std::string& mount_point) {
  for (int i = 0; i < kMaxStaleMounts; ++i) {
    const std::optional<MountEntry> entry = mount_at(mount_point);
    struct stat facts;
    const int error = ::stat(mount_point.c_str(), &facts) == 0 ? 0 : errno;
    if (entry && entry->is_ours() && server_has_ended(mount_point)) {
      const absl::Status status = unmount_fuse(mount_point, /*lazy=*/true);
      if (!status.ok()) return annotate(status, "a server that was killed left a stale mount");
      log_line(LogLevel::kInfo, "removed the stale mount of '" + entry->source + "' at '" +
                                    mount_point + "': its server had been killed");
      continue;
    }
    if (entry && entry->is_ours()) {
      return errno_message(EBUSY, "'" + mount_point + "' already has a mount of '" + entry->source +
                                      "': unmount it with 'penstock umount " + mount_point +
                                      "', or choose another place");
    }
    if (error != 0) return refuse(mount_point, error);
    if (!S_ISDIR(facts.st_mode) && !S_ISREG(facts.st_mode)) return refuse(mount_point, ENOTDIR);
    return absl::OkStatus();
  }
  return refuse(mount_point, ENOTCONN);
}

absl::StatusOr<std::string> find_mount_of(const std::string& path) {
  const std::string place = canonical_mount_point(path);
  for (const std::string& candidate : {place, fs::path(place).parent_path().string()}) {
    const std::optional<MountEntry> entry = mount_at(candidate);
    if (entry && entry->is_ours()) return candidate;
  }
  return errno_message(EINVAL, "nothing is mounted by penstock at '" + path +
                                   "': 'penstock ls' shows what is mounted where");
}

}  // namespace penstock
