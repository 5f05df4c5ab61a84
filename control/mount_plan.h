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

#include "control/chain_options.h"
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
  std::string snapshot;      // show this internal snapshot (name or id); empty: the newest state
  bool partitions = true;    // look for partitions
  uint32_t sector_size = 0;  // bytes, of the partition table; 0: both 512 and 4096 are tried
  std::optional<uint64_t> raw_offset;
  std::optional<uint64_t> raw_size;
  std::string fsname;               // the source in the mount table; empty: the image
  ChainOptions chain;               // files that the image names
  bool accept_lost_tables = false;  // open a qcow2 image although its tables are lost, to check it
  bool without_backing = false;     // as if the image named no backing file
  bool image_alone = false;  // for its own facts: no file that it names is opened, no data is there
  std::vector<std::string> fault_rules;
  unsigned iothreads = 1;
  Engine engine = Engine::kAuto;
  bool foreground = false;
  std::string pid_file;  // empty: none
  bool takes_commands = true;
  std::string socket;  // where commands are taken; empty: PID.qmp in the runtime directory
};

}  // namespace penstock
