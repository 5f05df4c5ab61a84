// SPDX-License-Identifier: Apache-2.0
// What one mount is to be: the answer to "which image, where, and how".
//
// Ownership: a value.
// Threads: pure.
// Errors: none.
// Invariants: paths are absolute. raw_offset and raw_size are bytes, for raw images only.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "iothreads/poller_factory.h"

namespace penstock {

struct MountPlan {
  std::string image;
  std::string mount_point;
  std::string format;  // empty: found by its magic
  bool writable = false;
  bool growable = false;
  bool cached = false;       // through the kernel's page cache of the mounted file
  bool direct = false;       // O_DIRECT on the image
  bool force_share = false;  // read although somebody else writes
  bool allow_other = false;
  std::optional<uid_t> uid;
  std::optional<gid_t> gid;
  std::optional<mode_t> mode;
  std::optional<uint64_t> raw_offset;
  std::optional<uint64_t> raw_size;
  std::string fsname;  // the source in the mount table; empty: the image
  std::vector<std::string> fault_rules;
  unsigned iothreads = 1;
  Engine engine = Engine::kAuto;
  bool foreground = false;
  std::string pid_file;  // empty: none
};

}  // namespace penstock
