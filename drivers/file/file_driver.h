// SPDX-License-Identifier: Apache-2.0
// "file": a regular file or block device of the host.
//
// Ownership: a node owns the driver; the driver owns the descriptor and its image locks.
// Threads: I/O functions anywhere at once, each on the ring of the thread that runs it; permissions
//   by one control command at a time.
// Errors: the exact errno with the path.
// Invariants: the image locks held are those of the node's permissions until co_inactivate().
#pragma once

#include <memory>
#include <string>

#include "block/node/driver.h"
#include "drivers/file/file_handle.h"
#include "drivers/file/image_locks.h"

namespace penstock {

class FileDriver final : public Driver, public DirectIo, public Resizable {
 public:
  FileDriver(std::unique_ptr<FileHandle> file, ImageLocks::Mode locking, bool force_share,
             Permission shared_outside);

  FileDriver(const FileDriver&) = delete;
  FileDriver& operator=(const FileDriver&) = delete;
  ~FileDriver() override;

  DirectIo* direct_io() override { return this; }
  Resizable* resizable() override;
  bool grows_by_writing() const override { return true; }
  absl::Status co_prepare_permissions(const Permissions& permissions)
      CONTROL_COROUTINE_CODE override;
  void commit_permissions() GLOBAL_STATE_CODE override;
  void roll_back_permissions() GLOBAL_STATE_CODE override;
  // A new descriptor of the same file, with other rights or flags.
  absl::StatusOr<Reopened> co_prepare_reopen(const ReopenContext& context)
      CONTROL_COROUTINE_CODE override;
  absl::Status co_inactivate() IO_CODE override;
  nlohmann::json describe() const override;
  uint64_t allocated_bytes() const override;

  const FileHandle& handle() const { return *file_; }

 private:
  absl::Status co_readv(uint64_t offset, const IoVector& data, RequestFlags flags) IO_CODE override;
  absl::Status co_writev(uint64_t offset, const IoVector& data,
                         RequestFlags flags) IO_CODE override;
  absl::Status co_flush() IO_CODE override;
  absl::Status co_write_zeroes(ByteRange range, RequestFlags flags) IO_CODE override;
  absl::Status co_discard(ByteRange range) IO_CODE override;
  absl::StatusOr<BlockStatus> co_block_status(ByteRange range) IO_CODE override;
  absl::Status co_resize(uint64_t size) IO_CODE override;
  absl::Status prepare_locks(const Permissions& permissions) BLOCKING_CODE;

  const std::unique_ptr<FileHandle> file_;
  const bool force_share_;
  const Permission shared_outside_;
  ImageLocks locks_;
  // Whose place this one is to take, until it has: it tells one's own locks from others'.
  FileDriver* predecessor_ = nullptr;
};

class FileDriverType final : public DriverType {
 public:
  // `name`: a constant, as the field has several for it.
  explicit FileDriverType(std::string_view name = "file") : name_(name) {}
  std::string_view name() const override { return name_; }
  bool has_file_child() const override { return false; }
  absl::StatusOr<LoadedDriver> co_load(const LoadContext& context) const IO_CODE override;

 private:
  const std::string_view name_;
};

}  // namespace penstock
