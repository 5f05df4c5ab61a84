// SPDX-License-Identifier: Apache-2.0
#include "control/mount_table.h"

#include <sys/sysmacros.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

namespace penstock {
namespace {

bool is_octal(char c) { return c >= '0' && c <= '7'; }

// The kernel writes space, tab, newline and backslash as \ooo.
std::string unescape(std::string_view text) {
  std::string result;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size() && is_octal(text[i + 1]) && is_octal(text[i + 2]) &&
        is_octal(text[i + 3])) {
      result += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 +
                                  (text[i + 3] - '0'));
      i += 3;
    } else {
      result += text[i];
    }
  }
  return result;
}

// Of "major:minor".
dev_t device_of(const std::string& numbers) {
  char* minor_at = nullptr;
  const unsigned long major = std::strtoul(numbers.c_str(), &minor_at, 10);
  if (*minor_at != ':') return 0;
  return makedev(static_cast<unsigned>(major),
                 static_cast<unsigned>(std::strtoul(minor_at + 1, nullptr, 10)));
}

std::optional<uid_t> user_of(std::string_view options) {
  static constexpr std::string_view kKey = "user_id=";
  const size_t at = options.find(kKey);
  if (at == std::string_view::npos) return std::nullopt;
  return static_cast<uid_t>(
      std::strtoul(std::string(options.substr(at + kKey.size())).c_str(), nullptr, 10));
}

}  // namespace

std::optional<MountEntry> parse_mount_line(std::string_view line) {
  // id parent major:minor root mount-point options [optional]... - type source super-options
  std::istringstream words{std::string(line)};
  std::string word;
  std::string device;
  std::string mount_point;
  if (!(words >> word >> word >> device >> word >> mount_point)) return std::nullopt;
  while (words >> word && word != "-") {
  }
  MountEntry entry;
  std::string options;
  if (!(words >> entry.type >> entry.source >> options)) return std::nullopt;
  entry.device = device_of(device);
  entry.mount_point = unescape(mount_point);
  entry.source = unescape(entry.source);
  entry.user = user_of(options);
  return entry;
}

std::vector<MountEntry> read_mount_table() {
  std::vector<MountEntry> entries;
  std::ifstream file("/proc/self/mountinfo");
  for (std::string line; std::getline(file, line);) {
    if (std::optional<MountEntry> entry = parse_mount_line(line)) {
      entries.push_back(std::move(*entry));
    }
  }
  return entries;
}

std::optional<MountEntry> mount_at(const std::string& path) {
  std::optional<MountEntry> found;
  for (MountEntry& entry : read_mount_table()) {
    if (entry.mount_point == path) found = std::move(entry);
  }
  return found;
}

}  // namespace penstock
