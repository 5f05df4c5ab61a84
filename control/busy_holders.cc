// SPDX-License-Identifier: Apache-2.0
#include "control/busy_holders.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <system_error>

namespace penstock {
namespace {

namespace fs = std::filesystem;

bool is_inside(const std::string& path, const std::string& mount_point) {
  return path.starts_with(mount_point) &&
         (path.size() == mount_point.size() || path[mount_point.size()] == '/');
}

std::string read_line(const fs::path& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

bool link_is_inside(const fs::path& link, const std::string& mount_point) {
  std::error_code error;
  const fs::path target = fs::read_symlink(link, error);
  return !error && is_inside(target.string(), mount_point);
}

// Calls `visit` for each entry of a directory until it answers true; true if it did.
template <typename Visit>
bool any_entry(const fs::path& directory, Visit visit) {
  std::error_code error;
  fs::directory_iterator entry(directory, error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    if (visit(entry->path())) return true;
  }
  return false;
}

bool maps_a_file_inside(const fs::path& process, const std::string& mount_point) {
  std::ifstream maps(process / "maps");
  for (std::string line; std::getline(maps, line);) {
    const size_t path = line.find('/');
    if (path != std::string::npos && is_inside(line.substr(path), mount_point)) return true;
  }
  return false;
}

bool holds(const fs::path& process, const std::string& mount_point) {
  for (const char* link : {"cwd", "root", "exe"}) {
    if (link_is_inside(process / link, mount_point)) return true;
  }
  return any_entry(process / "fd",
                   [&](const fs::path& link) { return link_is_inside(link, mount_point); }) ||
         maps_a_file_inside(process, mount_point);
}

bool is_number(const std::string& text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isdigit(c); });
}

}  // namespace

std::vector<std::string> find_busy_holders(const std::string& mount_point) {
  std::vector<std::string> holders;
  any_entry("/proc", [&](const fs::path& process) {
    const std::string pid = process.filename().string();
    if (is_number(pid) && holds(process, mount_point)) {
      holders.push_back("PID " + pid + " (" + read_line(process / "comm") + ")");
    }
    return false;
  });
  any_entry("/sys/block", [&](const fs::path& device) {
    const std::string backing_file = read_line(device / "loop/backing_file");
    if (!backing_file.empty() && is_inside(backing_file, mount_point)) {
      holders.push_back("/dev/" + device.filename().string());
    }
    return false;
  });
  return holders;
}

}  // namespace penstock
