// SPDX-License-Identifier: Apache-2.0
#include "control/runtime_directory.h"

#include <glob.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "base/status.h"

namespace penstock {
namespace {

constexpr char kRootDirectory[] = "/run/penstock";

std::string temporary_directory_of(uid_t user) { return "/tmp/penstock-" + std::to_string(user); }

absl::Status check_directory(const std::string& path, uid_t owner) {
  struct stat facts;
  if (::lstat(path.c_str(), &facts) != 0) return errno_status(errno, "'" + path + "'");
  if (!S_ISDIR(facts.st_mode)) return errno_status(ENOTDIR, "'" + path + "'");
  if (facts.st_uid != owner || (facts.st_mode & 077) != 0) {
    return errno_message(EACCES, "'" + path + "' must be a directory of user " +
                                     std::to_string(owner) +
                                     " with mode 0700: remove it or set XDG_RUNTIME_DIR");
  }
  return absl::OkStatus();
}

std::string preferred_directory(uid_t user) {
  if (user == 0) return kRootDirectory;
  const char* session = std::getenv("XDG_RUNTIME_DIR");
  struct stat facts;
  if (session != nullptr && session[0] == '/' && ::stat(session, &facts) == 0 &&
      S_ISDIR(facts.st_mode) && facts.st_uid == user) {
    return std::string(session) + "/penstock";
  }
  return temporary_directory_of(user);
}

std::vector<std::string> matches_of(const char* pattern) {
  std::vector<std::string> paths;
  glob_t found = {};
  if (::glob(pattern, GLOB_NOSORT, nullptr, &found) == 0) {
    paths.assign(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  }
  ::globfree(&found);
  return paths;
}

}  // namespace

absl::StatusOr<std::string> make_runtime_directory() {
  const uid_t user = ::geteuid();
  const std::string path = preferred_directory(user);
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
    return errno_status(errno, "cannot make '" + path + "'");
  }
  const absl::Status checked = check_directory(path, user);
  if (!checked.ok()) return checked;
  return path;
}

std::vector<RuntimeDirectory> list_runtime_directories() {
  const uid_t user = ::geteuid();
  std::vector<std::string> candidates = {preferred_directory(user)};
  if (user == 0) {
    for (const char* pattern : {"/run/user/*/penstock", "/tmp/penstock-*"}) {
      const std::vector<std::string> found = matches_of(pattern);
      candidates.insert(candidates.end(), found.begin(), found.end());
    }
  } else {
    candidates.push_back("/run/user/" + std::to_string(user) + "/penstock");
    candidates.push_back(temporary_directory_of(user));
  }
  std::sort(candidates.begin(), candidates.end());
  candidates.erase(std::unique(candidates.begin(), candidates.end()), candidates.end());

  std::vector<RuntimeDirectory> directories;
  for (const std::string& path : candidates) {
    struct stat facts;
    if (::lstat(path.c_str(), &facts) != 0) continue;
    const uid_t owner = user == 0 ? facts.st_uid : user;
    if (check_directory(path, owner).ok()) directories.push_back({path, owner});
  }
  return directories;
}

}  // namespace penstock
