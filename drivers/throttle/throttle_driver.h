// SPDX-License-Identifier: Apache-2.0
// "throttle": a filter that holds back requests to the limits of a group.
//
// Ownership: a node owns the driver; the child's edge belongs to the node and outlives the driver.
//   The type owns the groups.
// Threads: every I/O function anywhere at once; the group has its own lock.
// Errors: the child's.
// Invariants: what passes is passed on unchanged, in the same memory. Nothing waits here while a
//   drain waits for it.
#pragma once

#include <memory>

#include "block/node/driver.h"
#include "drivers/throttle/throttle_groups.h"

namespace penstock {

class ThrottleDriver final : public Driver, public DirectIo, public Resizable {
 public:
  ThrottleDriver(const Child& file, ThrottleGroups& groups, std::unique_ptr<ThrottleMember> member)
      : file_(file), groups_(groups), member_(std::move(member)) {}

  DirectIo* direct_io() override { return this; }
  Resizable* resizable() override;
  bool is_filter() const override { return true; }
  bool grows_by_writing() const override;
  void drain_begin() override GLOBAL_STATE_CODE { member_->begin_rush(); }
  void drain_end() override GLOBAL_STATE_CODE { member_->end_rush(); }
  void hurry_begin() override GLOBAL_STATE_CODE { member_->begin_rush(); }
  void hurry_end() override GLOBAL_STATE_CODE { member_->end_rush(); }
  nlohmann::json describe() const override;
  absl::StatusOr<Reopened> co_prepare_reopen(const ReopenContext& context)
      CONTROL_COROUTINE_CODE override;

 private:
  absl::Status co_readv(uint64_t offset, const IoVector& data, RequestFlags flags) IO_CODE override;
  absl::Status co_writev(uint64_t offset, const IoVector& data,
                         RequestFlags flags) IO_CODE override;
  absl::Status co_flush() IO_CODE override;
  absl::Status co_write_zeroes(ByteRange range, RequestFlags flags) IO_CODE override;
  absl::Status co_discard(ByteRange range) IO_CODE override;
  absl::Status co_resize(uint64_t size) IO_CODE override;

  const Child& file_;
  ThrottleGroups& groups_;
  const std::unique_ptr<ThrottleMember> member_;
};

class ThrottleDriverType final : public DriverType {
 public:
  std::string_view name() const override { return "throttle"; }
  bool has_file_child() const override { return true; }
  ChildRole role_of(std::string_view child_name) const override;
  absl::StatusOr<LoadedDriver> co_load(const LoadContext& context) const IO_CODE override;
  ThrottleGroups& groups() const { return *groups_; }

 private:
  const std::unique_ptr<ThrottleGroups> groups_ = std::make_unique<ThrottleGroups>();
};

}  // namespace penstock
