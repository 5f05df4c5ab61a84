// SPDX-License-Identifier: Apache-2.0
// "faults": a filter that fails, delays or suspends requests by rules.
//
// Ownership: a node owns the driver; the child's edge belongs to the node and outlives the driver.
// Threads: every I/O function anywhere at once; the controller has its own lock.
// Errors: the rules', else the child's. A failed request has not reached the child.
// Invariants: without rules every request passes unchanged.
#pragma once

#include "block/node/driver.h"
#include "drivers/faults/faults_controller.h"

namespace penstock {

struct Child;

class FaultsDriver final : public Driver, public DirectIo, public Resizable {
 public:
  explicit FaultsDriver(const Child& file) : file_(file) {}

  DirectIo* direct_io() override { return this; }
  Resizable* resizable() override;
  bool is_filter() const override { return true; }
  bool grows_by_writing() const override;
  absl::Status co_event(const char* event, ByteRange range) IO_CODE override;
  FaultsController& controller() { return controller_; }

 private:
  absl::Status co_readv(uint64_t offset, const IoVector& data, RequestFlags flags) IO_CODE override;
  absl::Status co_writev(uint64_t offset, const IoVector& data,
                         RequestFlags flags) IO_CODE override;
  absl::Status co_flush() IO_CODE override;
  absl::Status co_write_zeroes(ByteRange range, RequestFlags flags) IO_CODE override;
  absl::Status co_discard(ByteRange range) IO_CODE override;
  absl::Status co_resize(uint64_t size) IO_CODE override;
  uint64_t length_inside(uint64_t offset, uint64_t length) const;
  uint64_t length_to_write(uint64_t offset, uint64_t length) const;

  const Child& file_;
  FaultsController controller_;
};

class FaultsDriverType final : public DriverType {
 public:
  std::string_view name() const override { return "faults"; }
  bool has_file_child() const override { return true; }
  ChildRole role_of(std::string_view child_name) const override;
  absl::StatusOr<LoadedDriver> co_load(const LoadContext& context) const IO_CODE override;
};

}  // namespace penstock
