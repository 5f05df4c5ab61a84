// SPDX-License-Identifier: Apache-2.0
// "memory": a read-only file that is bytes in memory, for images that never touch a disk.
//
// Ownership: the table owns nothing; the bytes outlive the nodes that show them.
// Threads: the table is changed while no node shows its files. Reads on any context.
// Errors: ENOENT for a name that is not in the table; EPERM for changes.
// Invariants: each read yields once, so that requests overlap as they do on a disk.
#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string>

#include "block/node/driver.h"

namespace penstock {

using MemoryFiles = std::map<std::string, std::span<const std::byte>>;

// The option "name" says which file.
class MemoryFileType final : public DriverType {
 public:
  explicit MemoryFileType(const MemoryFiles& files) : files_(files) {}

  std::string_view name() const override { return "memory"; }
  bool has_file_child() const override { return false; }
  absl::StatusOr<LoadedDriver> co_load(const LoadContext& context) const override IO_CODE;

 private:
  const MemoryFiles& files_;
};

// How to open `format` over the file `name`, read-only.
NodeOptions memory_image_options(const std::string& format, const std::string& name);

}  // namespace penstock
