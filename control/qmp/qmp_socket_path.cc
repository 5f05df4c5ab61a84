// SPDX-License-Identifier: Apache-2.0
#include "control/qmp/qmp_socket_path.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>
#include <vector>

#include "base/status.h"
#include "control/mount_registry.h"
#include "control/qmp/socket_file.h"
#include "control/runtime_directory.h"

namespace penstock {
namespace {

namespace fs = std::filesystem;

constexpr char kSuffix[] = ".qmp";
constexpr std::chrono::seconds kAcceptLimit{1};
constexpr char kHowToStart[] = ": start one with 'penstock mount' or 'penstock daemon'";

bool is_socket(const std::string& path) {
  struct stat facts;
  return ::stat(path.c_str(), &facts) == 0 && S_ISSOCK(facts.st_mode);
}

std::vector<std::string> sockets_in(const std::string& directory) {
  std::vector<std::string> paths;
  std::error_code error;
  for (fs::directory_iterator entry(directory, error), end; !error && entry != end;
       entry.increment(error)) {
    if (entry->path().extension() == kSuffix) paths.push_back(entry->path());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

// What a process that has ended is until its parent asks for it.
bool is_zombie(const std::string& pid) {
  std::ifstream file("/proc/" + pid + "/stat");
  std::string stat;
  std::getline(file, stat);
  return stat.find(") Z ") != std::string::npos;
}

// False only for a name of ours whose process has ended, as far as this PID namespace shows.
bool may_be_alive(const std::string& path) {
  const std::string name = fs::path(path).stem();
  const int pid = std::atoi(name.c_str());
  if (pid <= 0) return true;
  if (::kill(pid, 0) != 0 && errno == ESRCH) return false;
  return !is_zombie(name);
}

// Nothing if there is no such process here.
std::optional<uid_t> owner_of_process(const std::string& pid) {
  struct stat facts;
  if (::stat(("/proc/" + pid).c_str(), &facts) != 0) return std::nullopt;
  return facts.st_uid;
}

absl::StatusOr<QmpSocket> socket_of(const std::string& pid) {
  const std::optional<uid_t> owner = owner_of_process(pid);
  for (const MountState& mount : read_mount_registry()) {
    if (mount.socket.empty() || std::to_string(mount.pid) != pid) continue;
    if (!owner || *owner == mount.owner) return QmpSocket{mount.socket, mount.owner};
  }
  for (const RuntimeDirectory& directory : list_runtime_directories()) {
    std::string path = directory.path + "/" + pid + kSuffix;
    if (is_socket(path) && (!owner || *owner == directory.owner)) {
      return QmpSocket{std::move(path), directory.owner};
    }
  }
  return errno_message(ENOENT, "the process " + pid + " has no control socket" + kHowToStart);
}

absl::StatusOr<QmpSocket> only_socket() {
  std::vector<QmpSocket> living;
  std::string list;
  const auto add = [&](QmpSocket socket, const std::string& name) {
    living.push_back(std::move(socket));
    list += (list.empty() ? "" : ", ") + name;
  };
  for (const QmpSocket& socket : list_qmp_sockets()) {
    if (!connect_to_socket(socket.path, kAcceptLimit).ok()) continue;
    add(socket, fs::path(socket.path).stem().string());
  }
  for (const MountState& mount : read_mount_registry()) {
    const bool is_known = mount.socket.empty() ||
                          std::any_of(living.begin(), living.end(), [&](const QmpSocket& socket) {
                            return socket.path == mount.socket;
                          });
    if (!is_known) add({mount.socket, mount.owner}, std::to_string(mount.pid));
  }
  if (living.empty()) {
    return errno_message(ENOENT, std::string("no server with a control socket runs") + kHowToStart);
  }
  if (living.size() > 1) {
    return errno_message(EINVAL,
                         "several servers run (PIDs " + list + "): name one, or use --socket");
  }
  return living.front();
}

bool is_number(const std::string& word) {
  return std::all_of(word.begin(), word.end(), [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

absl::StatusOr<std::string> default_qmp_socket_path() {
  const absl::StatusOr<std::string> directory = make_runtime_directory();
  if (!directory.ok()) return directory.status();
  const std::string path = *directory + "/" + std::to_string(::getpid()) + kSuffix;
  if (const absl::StatusOr<FolderLock> lock = FolderLock::take(path); lock.ok()) {
    // Living servers are not asked: there may be many.
    for (const std::string& other : sockets_in(*directory)) {
      if (!may_be_alive(other)) remove_dead_socket(other, *lock);
    }
  }
  return path;
}

bool names_server(const std::string& word) { return is_number(word) || is_socket(word); }

absl::StatusOr<QmpSocket> find_qmp_socket(const std::string& word) {
  if (word.empty()) return only_socket();
  if (is_socket(word)) return QmpSocket{.path = word, .owner = {}};
  return socket_of(word);
}

std::vector<QmpSocket> list_qmp_sockets() {
  std::vector<QmpSocket> all;
  for (const RuntimeDirectory& directory : list_runtime_directories()) {
    for (std::string& path : sockets_in(directory.path)) {
      all.push_back({std::move(path), directory.owner});
    }
  }
  return all;
}

}  // namespace penstock
