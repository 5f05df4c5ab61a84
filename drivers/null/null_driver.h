// SPDX-License-Identifier: Apache-2.0
// "null-co": a disk without storage. Writes vanish; reads give zeroes. The driver to copy.
//
// Ownership: a node owns the driver; the registry owns the type.
// Threads: the driver has no state that changes, so every I/O function runs anywhere at once.
// Errors: none, once opened.
// Invariants: the size is fixed.
#pragma once

#include "block/node/driver.h"
#include "iothreads/poller.h"

namespace penstock {

class NullDriver final : public Driver, public DirectIo {
 public:
  // With `read_zeroes` false a read leaves its memory as it was.
  NullDriver(Nanoseconds latency, bool read_zeroes)
      : latency_(latency), read_zeroes_(read_zeroes) {}

  DirectIo* direct_io() override { return this; }
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
  absl::StatusOr<BlockStatus> co_block_status(ByteRange range) IO_CODE override;
  absl::Status co_take_time() COROUTINE_CODE;

  const Nanoseconds latency_;
  const bool read_zeroes_;
};

class NullDriverType final : public DriverType {
 public:
  // `name`: a constant, as the field has several for it.
  explicit NullDriverType(std::string_view name = "null-co") : name_(name) {}
  std::string_view name() const override { return name_; }
  bool has_file_child() const override { return false; }
  absl::StatusOr<LoadedDriver> co_load(const LoadContext& context) const IO_CODE override;

 private:
  const std::string_view name_;
};

}  // namespace penstock
