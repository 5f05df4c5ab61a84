// SPDX-License-Identifier: Apache-2.0
// "raw": the bytes of the "file" child, or a window of them.
//
// Ownership: a node owns the driver; the child's edge belongs to the node and outlives the driver.
// Threads: nothing changes after construction, so every I/O function runs anywhere at once.
// Errors: the child's.
// Invariants: byte x of the node is byte base + x of the child. With a fixed size the window never
//   changes; without one it ends where the child ends.
#pragma once

#include "block/node/driver.h"

namespace penstock {

struct Child;

class RawDriver final : public Driver, public MappedIo, public Resizable {
 public:
  RawDriver(const Child& file, uint64_t base, bool fixed_size)
      : file_(file), base_(base), fixed_size_(fixed_size) {}

  MappedIo* mapped_io() override { return this; }
  Resizable* resizable() override { return fixed_size_ ? nullptr : this; }
  bool has_size_of_file() const override { return base_ == 0 && !fixed_size_; }
  bool grows_by_writing() const override;
  Permissions child_permissions(const Child& child,
                                const Permissions& parents) const GLOBAL_STATE_CODE override;
  nlohmann::json describe() const override;
  absl::StatusOr<Reopened> co_prepare_reopen(const ReopenContext& context)
      CONTROL_COROUTINE_CODE override;

 private:
  absl::StatusOr<Mapping> co_map(ByteRange range, MapIntent intent) IO_CODE override;
  absl::Status co_resize(uint64_t size) IO_CODE override;

  const Child& file_;
  const uint64_t base_;  // bytes
  const bool fixed_size_;
};

class RawDriverType final : public DriverType {
 public:
  std::string_view name() const override { return "raw"; }
  bool has_file_child() const override { return true; }
  ChildRole role_of(std::string_view child_name) const override;
  absl::StatusOr<LoadedDriver> co_load(const LoadContext& context) const IO_CODE override;
};

}  // namespace penstock
