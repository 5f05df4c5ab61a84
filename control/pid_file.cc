// SPDX-License-Identifier: Apache-2.0
#include "control/pid_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <utility>

#include "base/status.h"

namespace penstock {
namespace {

struct flock whole_file(short type) {
  struct flock lock = {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  return lock;
}

// False if another server has it. A file system without locks has nobody who could.
bool lock_file(int fd) {
  struct flock lock = whole_file(F_WRLCK);
  return ::fcntl(fd, F_OFD_SETLK, &lock) == 0 || (errno != EAGAIN && errno != EACCES);
}

// A server that ends removes its file, perhaps after we have opened it.
bool is_still_there(int fd, const std::string& path) {
  struct stat ours;
  struct stat there;
  return ::fstat(fd, &ours) == 0 && ::stat(path.c_str(), &there) == 0 &&
         ours.st_dev == there.st_dev && ours.st_ino == there.st_ino;
}

absl::Status taken(int fd, const std::string& path) {
  char text[16] = {};
  std::string owner;
  if (::pread(fd, text, sizeof(text) - 1, 0) > 0) {
    owner = text;
    while (owner.ends_with('\n')) owner.pop_back();
  }
  return errno_message(EBUSY, "the PID file '" + path + "' belongs to a server that runs" +
                                  (owner.empty() ? "" : " (PID " + owner + ")") +
                                  ": end that one or choose another file");
}

}  // namespace

absl::Status PidFile::write(const std::string& path) {
  for (;;) {
    UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (!fd.valid()) return errno_status(errno, "cannot write the PID file '" + path + "'");
    if (!lock_file(fd.get())) return taken(fd.get(), path);
    if (!is_still_there(fd.get(), path)) continue;
    fd_ = std::move(fd);
    path_ = path;
    return fill();
  }
}

absl::Status PidFile::fill() {
  // Only a regular file has something to cut.
  if ((::ftruncate(fd_.get(), 0) != 0 && errno != EINVAL) ||
      ::dprintf(fd_.get(), "%d\n", static_cast<int>(::getpid())) < 0) {
    return errno_status(errno, "cannot write the PID file '" + path_ + "'");
  }
  return absl::OkStatus();
}

void PidFile::remove() {
  if (!path_.empty()) ::unlink(path_.c_str());
  path_.clear();
  fd_.reset();
}

}  // namespace penstock
