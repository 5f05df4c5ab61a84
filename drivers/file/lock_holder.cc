// SPDX-License-Identifier: Apache-2.0
#include "drivers/file/lock_holder.h"

#include <dirent.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <fstream>
#include <memory>

namespace penstock {
namespace {

struct FileIdentity {
  unsigned major = 0;
  unsigned minor = 0;
  uint64_t inode = 0;

  friend bool operator==(const FileIdentity&, const FileIdentity&) = default;
};

struct HeldLock {
  FileIdentity file;
  uint64_t first = 0;  // bytes, both inclusive
  uint64_t last = 0;
};

// A line such as "lock:\t1: OFDLCK ADVISORY  READ -1 fe:00:10952734 100 101".
bool parse_lock_line(const std::string& line, HeldLock& lock) {
  char last[32] = {};
  if (std::sscanf(line.c_str(), "lock: %*d: %*s %*s %*s %*d %x:%x:%" SCNu64 " %" SCNu64 " %31s",
                  &lock.file.major, &lock.file.minor, &lock.file.inode, &lock.first, last) != 5) {
    return false;
  }
  if (std::string(last) == "EOF") {
    lock.last = UINT64_MAX;
    return true;
  }
  return std::sscanf(last, "%" SCNu64, &lock.last) == 1;
}

std::vector<HeldLock> read_locks(const std::string& fdinfo) {
  std::vector<HeldLock> locks;
  std::ifstream file(fdinfo);
  std::string line;
  HeldLock lock;
  while (std::getline(file, line)) {
    if (parse_lock_line(line, lock)) locks.push_back(lock);
  }
  return locks;
}

std::vector<std::string> list_numbers(const std::string& folder) {
  std::vector<std::string> names;
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(opendir(folder.c_str()), closedir);
  if (dir == nullptr) return names;
  while (const dirent* entry = readdir(dir.get())) {
    if (entry->d_name[0] >= '0' && entry->d_name[0] <= '9') names.emplace_back(entry->d_name);
  }
  return names;
}

// As the lock lists name it. A stacked filesystem shows its lower device there, so our own locks'
// lines are the best source.
FileIdentity identity_of(int fd) {
  const auto own = read_locks("/proc/self/fdinfo/" + std::to_string(fd));
  if (!own.empty()) return own.front().file;
  struct stat about = {};
  if (fstat(fd, &about) != 0) return {};
  return {gnu_dev_major(about.st_dev), gnu_dev_minor(about.st_dev), about.st_ino};
}

std::string describe_process(const std::string& pid) {
  std::ifstream file("/proc/" + pid + "/comm");
  std::string name;
  std::getline(file, name);
  return "pid " + pid + (name.empty() ? "" : " (" + name + ")");
}

}  // namespace

std::vector<std::string> find_lock_holders(int fd, int position) {
  const FileIdentity wanted = identity_of(fd);
  const auto byte = static_cast<uint64_t>(position);
  const std::string own_pid = std::to_string(getpid());
  const std::string own_fd = std::to_string(fd);
  std::vector<std::string> holders;
  for (const std::string& pid : list_numbers("/proc")) {
    const std::string folder = "/proc/" + pid + "/fdinfo";
    for (const std::string& number : list_numbers(folder)) {
      if (pid == own_pid && number == own_fd) continue;
      const auto locks = read_locks(folder + "/" + number);
      const bool holds = std::any_of(locks.begin(), locks.end(), [&](const HeldLock& lock) {
        return lock.file == wanted && lock.first <= byte && byte <= lock.last;
      });
      if (holds) {
        holders.push_back(describe_process(pid));
        break;
      }
    }
  }
  return holders;
}

}  // namespace penstock
