// SPDX-License-Identifier: Apache-2.0
#include "drivers/file/file_driver.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <optional>

#include "base/status.h"
#include "drivers/file/file_open.h"
#include "drivers/file/file_read_write.h"
#include "drivers/file/file_status.h"
#include "drivers/file/file_zero_discard.h"
#include "iothreads/thread_pool.h"

namespace penstock {
namespace {

constexpr uint64_t kStatBlock = 512;  // bytes in a unit of st_blocks

std::optional<ImageLocks::Mode> parse_locking(const std::string& word) {
  if (word == "auto") return ImageLocks::Mode::kAuto;
  if (word == "on") return ImageLocks::Mode::kOn;
  if (word == "off") return ImageLocks::Mode::kOff;
  return std::nullopt;
}

}  // namespace

FileDriver::FileDriver(std::unique_ptr<FileHandle> file, ImageLocks::Mode locking, bool force_share)
    : file_(std::move(file)),
      force_share_(force_share),
      locks_(file_->fd.get(), file_->path, locking) {}

Resizable* FileDriver::resizable() {
  return file_->writable && !file_->block_device ? this : nullptr;
}

absl::Status FileDriver::co_prepare_permissions(const Permissions& permissions) {
  Permissions wanted = permissions;
  if (force_share_) wanted.shared = kAllPermissions;
  return ThreadPool::shared().co_run([&] { return locks_.prepare(wanted); });
}

void FileDriver::commit_permissions() { locks_.commit(); }

void FileDriver::roll_back_permissions() { locks_.roll_back(); }

absl::Status FileDriver::co_inactivate() {
  // Explicitly: a forked or passed copy of the descriptor would keep the locks alive.
  locks_.release_all();
  return absl::OkStatus();
}

nlohmann::json FileDriver::describe() const {
  return {{"filename", file_->path},
          {"cache.direct", file_->direct},
          {"locking", locks_.active() ? "on" : "off"}};
}

uint64_t FileDriver::allocated_bytes() const {
  struct stat about = {};
  if (fstat(file_->fd.get(), &about) != 0) return 0;
  return file_->block_device ? file_->opened_size
                             : static_cast<uint64_t>(about.st_blocks) * kStatBlock;
}

absl::Status FileDriver::co_readv(uint64_t offset, const IoVector& data, RequestFlags /*flags*/) {
  return co_read_file(*file_, offset, data);
}

absl::Status FileDriver::co_writev(uint64_t offset, const IoVector& data, RequestFlags flags) {
  return co_write_file(*file_, offset, data, flags);
}

absl::Status FileDriver::co_flush() { return co_sync_file(*file_); }

absl::Status FileDriver::co_write_zeroes(ByteRange range, RequestFlags flags) {
  return co_zero_file(*file_, range, flags);
}

absl::Status FileDriver::co_discard(ByteRange range) { return co_discard_file(*file_, range); }

absl::StatusOr<BlockStatus> FileDriver::co_block_status(ByteRange range) {
  return file_status(*file_, range);
}

absl::Status FileDriver::co_resize(uint64_t size) {
  if (size > INT64_MAX) return errno_status(EFBIG, "resizing " + file_->path);
  const int error = ThreadPool::shared().co_run([&] {
    int result;
    do {
      result = ftruncate(file_->fd.get(), static_cast<off_t>(size));
    } while (result != 0 && errno == EINTR);
    return result == 0 ? 0 : errno;
  });
  if (error != 0) return errno_status(error, "resizing " + file_->path);
  file_->size_seen.store(size, std::memory_order_relaxed);
  return absl::OkStatus();
}

absl::StatusOr<LoadedDriver> FileDriverType::co_load(const LoadContext& context) const {
  OptionReader reader(context.options);
  const auto path = reader.take_required_string("filename");
  if (!path.ok()) return path.status();
  const auto word = reader.take_string("locking", "auto");
  if (!word.ok()) return word.status();
  if (const auto left = reader.finish(); !left.ok()) return left;
  const auto locking = parse_locking(*word);
  if (!locking) return errno_message(EINVAL, "file: \"locking\" takes on, off or auto.");
  if (context.options.force_share && !context.options.read_only) {
    return errno_message(EINVAL, "file: force-share is for read-only use; open " + *path +
                                     " read-only, or without force-share.");
  }

  auto file = co_open_file(context.host, *path, context.options);
  if (!file.ok()) return file.status();
  LoadedDriver loaded;
  loaded.size = (*file)->opened_size;
  loaded.limits = (*file)->limits;
  loaded.file_name = *path;
  loaded.driver =
      std::make_unique<FileDriver>(*std::move(file), *locking, context.options.force_share);
  return loaded;
}

}  // namespace penstock
