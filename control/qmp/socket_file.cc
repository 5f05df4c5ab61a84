// SPDX-License-Identifier: Apache-2.0
#include "control/qmp/socket_file.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <thread>
#include <utility>

#include "base/status.h"

namespace penstock {
namespace {

constexpr std::chrono::milliseconds kLockInterval{5};
constexpr std::chrono::seconds kLockLimit{5};
// For a server that is asked whether it lives. One that is stopped does.
constexpr std::chrono::milliseconds kAnswerLimit{1000};

std::string folder_of(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path();
  return folder.empty() ? "." : folder;
}

bool is_socket(const std::string& path) {
  struct stat facts;
  return ::lstat(path.c_str(), &facts) == 0 && S_ISSOCK(facts.st_mode);
}

bool is_absent(const std::string& path) {
  struct stat facts;
  return ::lstat(path.c_str(), &facts) != 0 && errno == ENOENT;
}

// The socket of a process that was killed may take connections for a moment, until the kernel has
// cleared its io_uring away: then it resets them. A living server greets, or ends the connection,
// which it need not want.
bool is_served(const UniqueFd& connection) {
  pollfd answer = {connection.get(), POLLIN, 0};
  if (::poll(&answer, 1, static_cast<int>(kAnswerLimit.count())) != 1) return true;
  char byte;
  return ::recv(connection.get(), &byte, 1, MSG_DONTWAIT) >= 0 || errno != ECONNRESET;
}

// Connecting to a Unix socket has the limit of sending.
void limit_sending(const UniqueFd& socket, std::chrono::milliseconds limit) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(limit);
  const timeval value = {.tv_sec = seconds.count(),
                         .tv_usec = std::chrono::microseconds(limit - seconds).count()};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &value, sizeof(value));
}

bool is_dead(const std::string& path) {
  const absl::StatusOr<UniqueFd> connection = connect_to_socket(path, kAnswerLimit);
  if (connection.ok()) return !is_served(*connection);
  return status_errno(connection.status()) == ECONNREFUSED;
}

}  // namespace

absl::StatusOr<sockaddr_un> unix_address(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    return errno_message(ENAMETOOLONG, "'" + path + "' cannot be a socket: choose a path of 1 to " +
                                           std::to_string(sizeof(address.sun_path) - 1) + " bytes");
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

absl::StatusOr<UniqueFd> connect_to_socket(const std::string& path,
                                           std::chrono::milliseconds limit) {
  const absl::StatusOr<sockaddr_un> address = unix_address(path);
  if (!address.ok()) return address.status();
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return errno_status(errno, "cannot make a socket");
  if (limit.count() != 0) limit_sending(fd, limit);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof(*address)) != 0) {
    return errno_status(errno, "cannot connect to '" + path + "'");
  }
  if (limit.count() != 0) limit_sending(fd, {});
  return fd;
}

absl::StatusOr<FolderLock> FolderLock::take(const std::string& path) {
  const std::string folder = folder_of(path);
  UniqueFd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return errno_status(errno, "cannot open the folder '" + folder + "'");
  const auto limit = std::chrono::steady_clock::now() + kLockLimit;
  while (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return errno_status(errno, "cannot lock the folder '" + folder + "'");
    if (std::chrono::steady_clock::now() > limit) {
      return errno_message(EBUSY, "the folder '" + folder +
                                      "' is locked by another program: put the socket elsewhere");
    }
    std::this_thread::sleep_for(kLockInterval);
  }
  return FolderLock(std::move(fd));
}

bool remove_dead_socket(const std::string& path, const FolderLock&) {
  if (is_socket(path) && is_dead(path)) ::unlink(path.c_str());
  return is_absent(path);
}

}  // namespace penstock
