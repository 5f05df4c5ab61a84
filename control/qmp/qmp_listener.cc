// SPDX-License-Identifier: Apache-2.0
#include "control/qmp/qmp_listener.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cerrno>

#include "base/status.h"
#include "control/qmp/socket_file.h"

namespace penstock {
namespace {

constexpr int kBacklog = 128;
constexpr mode_t kMode = 0600;

absl::Status not_free(const std::string& path) {
  struct stat facts;
  if (::lstat(path.c_str(), &facts) == 0 && !S_ISSOCK(facts.st_mode)) {
    return errno_message(EEXIST, "'" + path +
                                     "' is there and is no socket: remove it or choose another "
                                     "path");
  }
  return errno_message(
      EBUSY, "another server listens at '" + path + "': end that one or choose another path");
}

}  // namespace

absl::StatusOr<QmpListener> QmpListener::open(const std::string& path) {
  const absl::StatusOr<sockaddr_un> address = unix_address(path);
  if (!address.ok()) return address.status();
  const absl::StatusOr<FolderLock> lock = FolderLock::take(path);
  if (!lock.ok()) return lock.status();
  if (!remove_dead_socket(path, *lock)) return not_free(path);

  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return errno_status(errno, "cannot make a socket");
  // The file gets the descriptor's mode, so that it never has a wider one.
  if (::fchmod(fd.get(), kMode) != 0 ||
      ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof(*address)) != 0) {
    return errno_status(errno, "cannot make the socket '" + path + "'");
  }
  struct stat facts;
  if (::lstat(path.c_str(), &facts) != 0 || ::listen(fd.get(), kBacklog) != 0) {
    const absl::Status status = errno_status(errno, "cannot listen at '" + path + "'");
    ::unlink(path.c_str());
    return status;
  }
  return QmpListener(std::move(fd), path, facts.st_dev, facts.st_ino);
}

absl::StatusOr<QmpListener> QmpListener::adopt(int fd) {
  int listens = 0;
  socklen_t size = sizeof(listens);
  if (::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) != 0 || listens == 0) {
    return errno_message(EINVAL, "descriptor " + std::to_string(fd) +
                                     " is no socket that listens: pass one, or use 'path'");
  }
  ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
  return QmpListener(UniqueFd(fd), "", 0, 0);
}

void QmpListener::remove_file() {
  if (path_.empty()) return;
  // Without the lock at worst a file stays, to be replaced by the next server.
  const absl::StatusOr<FolderLock> lock = FolderLock::take(path_);
  struct stat facts;
  if (lock.ok() && ::lstat(path_.c_str(), &facts) == 0 && facts.st_dev == device_ &&
      facts.st_ino == inode_) {
    ::unlink(path_.c_str());
  }
}

}  // namespace penstock
