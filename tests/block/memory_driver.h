// SPDX-License-Identifier: Apache-2.0
// A protocol driver over plain memory, for tests: it counts; hooks may fail or suspend requests.
//
// Ownership: the node owns the driver; tests keep a reference for the node's life.
// Threads: I/O functions on any context. Hooks and the flags are set while no request runs; a hook
//   runs in the request's coroutine, before the bytes move, and may yield.
// Errors: what the hooks answer.
// Invariants: requests that are not aligned to `limits` abort: the choke point must not send them.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <vector>

#include "block/node/driver.h"
#include "block/node/limits.h"
#include "iothreads/thread_mutex.h"

namespace penstock {

class MemoryDriver : public Driver, public DirectIo, public Resizable {
 public:
  using Hook = std::function<absl::Status(ByteRange)>;

  explicit MemoryDriver(uint64_t size, Limits driver_limits = {})
      : limits(driver_limits), bytes_(size) {}

  DirectIo* direct_io() override { return this; }
  Resizable* resizable() override { return this; }
  bool grows_by_writing() const override { return growable; }
  absl::Status co_event(const char* event, ByteRange range) override IO_CODE;

  // A copy of all bytes; its length is the storage's, which may differ from the node's size.
  std::vector<std::byte> bytes() const;
  // What had been flushed when the last flush that succeeded began.
  std::vector<std::byte> durable_bytes() const;
  void set_bytes(std::vector<std::byte> bytes);

  // Set while no request runs.
  const Limits limits;
  bool growable = false;
  bool supports_zeroes = true;
  bool supports_discard = true;
  bool reports_zeroes = false;  // block status looks for bytes that are zero
  bool tracks_durable = false;  // keeps durable_bytes()
  Hook before_read;
  Hook before_write;
  Hook after_write;  // the bytes are there already
  Hook before_flush;
  Hook before_zeroes;
  Hook before_discard;
  Hook before_resize;
  std::function<absl::Status(const char*, ByteRange)> on_event;

  std::atomic<uint64_t> reads{0};
  std::atomic<uint64_t> writes{0};
  std::atomic<uint64_t> flushes{0};
  std::atomic<uint64_t> zeroes{0};
  std::atomic<uint64_t> discards{0};
  std::atomic<uint64_t> longest_transfer{0};  // bytes

 private:
  absl::Status co_readv(uint64_t offset, const IoVector& data, RequestFlags flags) override IO_CODE;
  absl::Status co_writev(uint64_t offset, const IoVector& data,
                         RequestFlags flags) override IO_CODE;
  absl::Status co_flush() override IO_CODE;
  absl::Status co_write_zeroes(ByteRange range, RequestFlags flags) override IO_CODE;
  absl::Status co_discard(ByteRange range) override IO_CODE;
  absl::StatusOr<BlockStatus> co_block_status(ByteRange range) override IO_CODE;
  absl::Status co_resize(uint64_t size) override IO_CODE;
  void check_transfer(uint64_t offset, const IoVector& data);

  mutable ThreadMutex mutex_{"MemoryDriver"};
  std::vector<std::byte> bytes_ GUARDED_BY(mutex_);
  std::vector<std::byte> durable_ GUARDED_BY(mutex_);
};

// A format driver whose mappings the test lists, or computes.
class MappedTestDriver : public Driver, public MappedIo {
 public:
  using Mapper = std::function<absl::StatusOr<Mapping>(ByteRange, MapIntent)>;

  MappedIo* mapped_io() override { return this; }
  bool is_filter() const override { return filter; }

  // Set while no request runs. Where nothing is listed the range is unallocated, down to `backing`.
  std::vector<Mapping> mappings;
  const Child* backing = nullptr;
  Mapper mapper;  // used instead of the list, if set
  bool filter = false;

  std::atomic<uint64_t> maps{0};
  std::atomic<uint64_t> special_reads{0};
  std::atomic<uint64_t> special_writes{0};
  std::atomic<uint64_t> metadata_flushes{0};

 private:
  absl::StatusOr<Mapping> co_map(ByteRange range, MapIntent intent) override IO_CODE;
  // Special bytes all read as the mapping's token.
  absl::Status co_read_special(const Mapping& mapping, const IoVector& data) override IO_CODE;
  absl::Status co_write_special(const Mapping& mapping, const IoVector& data) override IO_CODE;
  absl::Status co_flush_metadata() override IO_CODE;
};

}  // namespace penstock
