// SPDX-License-Identifier: Apache-2.0
// How an export looks.
//
// Ownership: a value, copied by the export.
// Threads: constant once the export has started.
// Errors: none here; FuseExport::co_start refuses what cannot be.
// Invariants: none.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace penstock {

struct ExportOptions {
  // An existing directory (the tree's entries appear in it) or regular file (it is covered).
  std::string mount_point;
  bool cached = false;       // through the kernel's page cache; else direct I/O
  bool allow_other = false;  // users other than the mounter may use the files
  std::optional<uint32_t> uid;
  std::optional<uint32_t> gid;
  std::optional<uint32_t> mode;            // permission bits of the files (0777)
  std::string file_name_shown;             // the source that mount tables show (fsname)
  std::vector<std::string> mount_options;  // more options for mount, each one word
};

}  // namespace penstock
