// SPDX-License-Identifier: Apache-2.0
// The mounts that this process sees, from /proc/self/mountinfo.
//
// Ownership: values.
// Threads: any; reading /proc does not touch the mounted filesystems and so cannot hang on them.
// Errors: an unreadable table is an empty one.
// Invariants: entries are in the order of mounting, so the last one of a path is what is visible.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace penstock {

// The type of all our mounts in the table.
inline constexpr char kMountType[] = "fuse.penstock";

struct MountEntry {
  std::string mount_point;
  std::string type;
  std::string source;
  dev_t device = 0;           // as st_dev shows it
  std::optional<uid_t> user;  // who mounted it, where the filesystem says so

  bool is_ours() const { return type == kMountType; }
};

// Of one line of mountinfo; nothing if it is not one.
std::optional<MountEntry> parse_mount_line(std::string_view line);

std::vector<MountEntry> read_mount_table();

// What is visible at exactly this path, if anything is mounted there.
std::optional<MountEntry> mount_at(const std::string& path);

}  // namespace penstock
