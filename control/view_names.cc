// SPDX-License-Identifier: Apache-2.0
#include "control/view_names.h"

#include <cstdint>
#include <string_view>
#include <unordered_set>
#include <utility>

namespace penstock {
namespace {

constexpr size_t kMaxName = 255;    // bytes, the kernel's NAME_MAX
constexpr size_t kMaxSuffix = 100;  // bytes of "-ID" that are kept

std::string hex_escape(char c) {
  static constexpr char kDigits[] = "0123456789abcdef";
  const auto byte = static_cast<unsigned char>(c);
  return {'\\', 'x', kDigits[byte >> 4], kDigits[byte & 15]};
}

// Bytes of the valid character that `text` begins with; 0 if it is none.
size_t utf8_length(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text[0]);
  if (lead < 0x80) return 1;
  const size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < length) return 0;
  uint32_t character = lead & (0x7fu >> length);
  for (size_t i = 1; i < length; ++i) {
    const auto next = static_cast<unsigned char>(text[i]);
    if ((next & 0xc0) != 0x80) return 0;
    character = character << 6 | (next & 0x3fu);
  }
  static constexpr uint32_t kSmallest[] = {0x80, 0x800, 0x10000};
  const bool is_surrogate = character >= 0xd800 && character < 0xe000;
  const bool fits = character >= kSmallest[length - 2] && character <= 0x10ffff;
  return fits && !is_surrogate ? length : 0;
}

bool is_kept(char c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
         std::string_view("#+-.:=@_").find(c) != std::string_view::npos;
}

// Only what a path component cannot hold is escaped: people shall recognise their names.
std::string path_component(const std::string& name) {
  if (name.empty()) return "unnamed";
  if (name == ".") return "\\x2e";
  if (name == "..") return "\\x2e\\x2e";
  std::string component;
  for (const char c : name) {
    if (c == '/' || c == '\0') {
      component += hex_escape(c);
    } else {
      component += c;
    }
  }
  return component;
}

// `name` and `suffix` together within the limit, at the expense of the name.
std::string join(const std::string& name, const std::string& suffix) {
  return name.substr(0, kMaxName - suffix.size()) + suffix;
}

}  // namespace

std::string link_name(const std::string& label) {
  std::string encoded;
  for (size_t i = 0; i < label.size();) {
    const std::string_view rest = std::string_view(label).substr(i);
    const size_t length = utf8_length(rest);
    if (length > 1 || (length == 1 && is_kept(rest[0]))) {
      encoded += rest.substr(0, length);
      i += length;
    } else {
      encoded += hex_escape(rest[0]);
      ++i;
    }
  }
  if (encoded == "." || encoded == ".." || encoded.size() > kMaxName) return {};
  return encoded;
}

std::vector<std::string> snapshot_directory_names(const std::vector<ImageSnapshot>& snapshots) {
  std::vector<std::string> names(snapshots.size());
  std::unordered_set<std::string> taken;
  for (size_t i = 0; i < snapshots.size(); ++i) {
    std::string name = path_component(snapshots[i].name);
    if (name.size() <= kMaxName && taken.insert(name).second) names[i] = std::move(name);
  }
  for (size_t i = 0; i < snapshots.size(); ++i) {
    if (!names[i].empty()) continue;
    const std::string name = path_component(snapshots[i].name);
    const std::string suffix = "-" + path_component(snapshots[i].id).substr(0, kMaxSuffix);
    names[i] = join(name, suffix);
    // Ids need not be unique in a damaged image; places in the table are.
    for (size_t place = i; !taken.insert(names[i]).second; ++place) {
      names[i] = join(name, suffix + "-" + std::to_string(place));
    }
  }
  return names;
}

}  // namespace penstock
