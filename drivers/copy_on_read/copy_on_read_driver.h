// SPDX-License-Identifier: Apache-2.0
// "copy-on-read": a filter that brings what is read from backing images into its file.
//
// Ownership: a node owns the driver; the child's edge belongs to the node and outlives the driver.
// Threads: every I/O function anywhere at once.
// Errors: the child's. That something could not be copied is no error of the read.
// Invariants: what the file holds never changes by copying, whoever writes to it meanwhile. Without
//   a backing image below, requests pass at the cost of one relaxed load.
#pragma once

#include <atomic>
#include <cstdint>

#include "block/node/driver.h"
#include "iothreads/poller.h"
#include "iothreads/thread_mutex.h"

namespace penstock {

class CopyOnReadDriver final : public Driver, public DirectIo, public Resizable {
 public:
  explicit CopyOnReadDriver(const Child& file);

  DirectIo* direct_io() override { return this; }
  Resizable* resizable() override;
  bool is_filter() const override { return true; }
  bool grows_by_writing() const override;
  Permissions child_permissions(const Child& child,
                                const Permissions& parents) const override GLOBAL_STATE_CODE;
  // What is below changes only while this node is drained.
  void drain_end() override GLOBAL_STATE_CODE;
  nlohmann::json describe() const override;

 private:
  absl::Status co_readv(uint64_t offset, const IoVector& data, RequestFlags flags) IO_CODE override;
  absl::Status co_writev(uint64_t offset, const IoVector& data,
                         RequestFlags flags) IO_CODE override;
  absl::Status co_flush() IO_CODE override;
  absl::Status co_write_zeroes(ByteRange range, RequestFlags flags) IO_CODE override;
  absl::Status co_discard(ByteRange range) IO_CODE override;
  absl::Status co_resize(uint64_t size) IO_CODE override;

  bool may_copy() const;
  void co_bring_up(ByteRange range) IO_CODE;
  void note_failure(const absl::Status& status);

  const Child& file_;
  std::atomic<bool> has_backing_;
  std::atomic<int64_t> paused_until_{0};  // nanoseconds of the contexts' clock

  mutable ThreadMutex mutex_{"CopyOnReadDriver"};
  uint64_t failures_ GUARDED_BY(mutex_) = 0;
  absl::Status last_failure_ GUARDED_BY(mutex_);
};

class CopyOnReadDriverType final : public DriverType {
 public:
  std::string_view name() const override { return "copy-on-read"; }
  bool has_file_child() const override { return true; }
  ChildRole role_of(std::string_view child_name) const override;
  absl::StatusOr<LoadedDriver> co_load(const LoadContext& context) const IO_CODE override;
};

}  // namespace penstock
