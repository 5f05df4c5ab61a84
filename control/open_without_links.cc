// SPDX-License-Identifier: Apache-2.0
#include "control/open_without_links.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "base/status.h"

namespace penstock {
namespace {

absl::Status describe_failure(int error, const std::string& path) {
  if (error == ELOOP) {
    return errno_message(ELOOP, "'" + path +
                                    "' has changed into a symbolic link while it was opened; try"
                                    " again");
  }
  return errno_status(error, "cannot open '" + path + "'");
}

// Directory by directory, for kernels that cannot do it in one call. A descriptor or -errno.
int open_part_by_part(const std::string& path, int flags) {
  UniqueFd directory(::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
  size_t begin = path.find_first_not_of('/');
  while (directory.valid() && begin != std::string::npos) {
    const size_t end = path.find('/', begin);
    const std::string part = path.substr(begin, end - begin);
    if (end == std::string::npos) {
      const int fd = ::openat(directory.get(), part.c_str(), flags | O_NOFOLLOW | O_CLOEXEC);
      return fd < 0 ? -errno : fd;
    }
    directory = UniqueFd(
        ::openat(directory.get(), part.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    begin = path.find_first_not_of('/', end);
  }
  return directory.valid() ? -EISDIR : -errno;
}

}  // namespace

absl::StatusOr<UniqueFd> open_without_links(const std::string& path, int flags) {
  open_how how = {};
  how.flags = static_cast<uint64_t>(flags | O_CLOEXEC);
  how.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  const long opened = ::syscall(SYS_openat2, AT_FDCWD, path.c_str(), &how, sizeof how);
  if (opened >= 0) return UniqueFd(static_cast<int>(opened));
  if (errno != ENOSYS) return describe_failure(errno, path);
  const int fd = open_part_by_part(path, flags);
  if (fd < 0) return describe_failure(-fd, path);
  return UniqueFd(fd);
}

}  // namespace penstock
