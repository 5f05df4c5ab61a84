// SPDX-License-Identifier: Apache-2.0
#include "control/open_without_links.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "base/printable_text.h"
#include "base/status.h"

namespace penstock {
namespace {

absl::Status describe_failure(int error, const std::string& path) {
  if (error == ELOOP) {
    return errno_message(ELOOP, "'" + printable_text(path) +
                                    "' has changed into a symbolic link while it was opened; try"
                                    " again");
  }
  return errno_status(error, "cannot open '" + printable_text(path) + "'");
}

// A descriptor that does not follow a link at the end of `part`, or -errno.
int open_part(int directory, const std::string& part, int flags) {
  UniqueFd fd(::openat(directory, part.c_str(), flags | O_NOFOLLOW | O_CLOEXEC));
  struct stat about;
  if (!fd.valid() || ::fstat(fd.get(), &about) != 0) return -errno;
  // With O_PATH it is the link that was opened.
  return S_ISLNK(about.st_mode) ? -ELOOP : fd.release();
}

// Directory by directory, where it cannot be done in one call. A descriptor or -errno.
int open_part_by_part(const std::string& path, int flags) {
  UniqueFd directory(::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!directory.valid()) return -errno;
  size_t begin = path.find_first_not_of('/');
  while (begin != std::string::npos) {
    const size_t end = path.find('/', begin);
    const std::string part = path.substr(begin, end - begin);
    const bool is_last = end == std::string::npos;
    const int fd = open_part(directory.get(), part, is_last ? flags : O_PATH);
    if (is_last || fd < 0) return fd;
    directory = UniqueFd(fd);
    begin = path.find_first_not_of('/', end);
  }
  return -EISDIR;
}

}  // namespace

absl::StatusOr<UniqueFd> open_without_links(const std::string& path, int flags) {
  open_how how = {};
  how.flags = static_cast<uint64_t>(flags | O_CLOEXEC);
  how.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  const long opened = ::syscall(SYS_openat2, AT_FDCWD, path.c_str(), &how, sizeof how);
  if (opened >= 0) return UniqueFd(static_cast<int>(opened));
  // A filter of system calls that is older than this one may forbid it.
  if (errno != ENOSYS && errno != EPERM) return describe_failure(errno, path);
  const int fd = open_part_by_part(path, flags);
  if (fd < 0) return describe_failure(-fd, path);
  return UniqueFd(fd);
}

}  // namespace penstock
