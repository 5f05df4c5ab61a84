// SPDX-License-Identifier: Apache-2.0
#include "drivers/file/file_driver.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

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

// QEMU's command lines choose how a file is read and written; here that is the engine's business.
absl::Status check_aio(OptionReader& reader) {
  const auto aio = reader.take_string("aio", "threads");
  if (!aio.ok() || *aio == "threads" || *aio == "native" || *aio == "io_uring") {
    return aio.status();
  }
  return errno_message(EINVAL, "file: \"aio\" takes threads, native or io_uring.");
}

// What QEMU does with its cache when a machine moves elsewhere. None does here.
absl::Status check_cache_dropping(OptionReader& reader) {
  absl::Status status = reader.take_bool("drop-cache", false).status();
  const auto check = reader.take_bool("x-check-cache-dropped", false);
  status.Update(check.status());
  if (!status.ok() || !*check) return status;
  return errno_message(EINVAL, "file: \"x-check-cache-dropped\" takes off: nothing is checked.");
}

struct FileOptions {
  std::string path;
  ImageLocks::Mode locking = ImageLocks::Mode::kAuto;
};

absl::StatusOr<FileOptions> read_options(const NodeOptions& options) {
  OptionReader reader(options);
  const auto path = reader.take_required_string("filename");
  if (!path.ok()) return path.status();
  const auto word = reader.take_string("locking", "auto");
  if (!word.ok()) return word.status();
  if (const auto fits = check_aio(reader); !fits.ok()) return fits;
  if (const auto fits = check_cache_dropping(reader); !fits.ok()) return fits;
  if (const auto left = reader.finish(); !left.ok()) return left;
  const auto locking = parse_locking(*word);
  if (!locking) return errno_message(EINVAL, "file: \"locking\" takes on, off or auto.");
  if (options.force_share && !options.read_only) {
    return errno_message(EINVAL, "file: force-share is for read-only use; open " + *path +
                                     " read-only, or without force-share.");
  }
  return FileOptions{*path, *locking};
}

bool is_same_file(int a, int b) {
  struct stat about_a = {};
  struct stat about_b = {};
  return fstat(a, &about_a) == 0 && fstat(b, &about_b) == 0 && about_a.st_dev == about_b.st_dev &&
         about_a.st_ino == about_b.st_ino;
}

}  // namespace

FileDriver::FileDriver(std::unique_ptr<FileHandle> file, ImageLocks::Mode locking, bool force_share,
                       Permission shared_outside)
    : file_(std::move(file)),
      force_share_(force_share),
      shared_outside_(shared_outside),
      locks_(file_->fd.get(), file_->path, locking) {}

Resizable* FileDriver::resizable() {
  return file_->writable && !file_->block_device ? this : nullptr;
}

// A forked or passed copy of the descriptor would keep the locks alive.
FileDriver::~FileDriver() { locks_.release_all(); }

absl::Status FileDriver::prepare_locks(const Permissions& wanted) {
  if (predecessor_ == nullptr) return locks_.prepare(wanted);
  // The other descriptor's locks look like another program's from here.
  ImageLocks& held = predecessor_->locks_;
  absl::Status status = held.prepare(wanted);
  if (!status.ok()) return status;
  status = locks_.prepare_as(held);
  if (!status.ok()) held.roll_back();
  return status;
}

absl::Status FileDriver::co_prepare_permissions(const Permissions& permissions) {
  Permissions wanted = permissions;
  wanted.shared &= shared_outside_;
  if (force_share_) wanted.shared = kAllPermissions;
  return ThreadPool::storage().co_try_run([&] { return prepare_locks(wanted); });
}

void FileDriver::commit_permissions() {
  locks_.commit();
  if (predecessor_ == nullptr) return;
  // It lives on for a moment, and the next look for others' locks must not meet its own.
  predecessor_->locks_.release_all();
  file_->size_seen.store(predecessor_->file_->size_seen.load(std::memory_order_relaxed),
                         std::memory_order_relaxed);
  predecessor_ = nullptr;
}

void FileDriver::roll_back_permissions() {
  locks_.roll_back();
  if (predecessor_ != nullptr) predecessor_->locks_.roll_back();
}

absl::StatusOr<Reopened> FileDriver::co_prepare_reopen(const ReopenContext& context) {
  const NodeOptions& options = context.options;
  const absl::StatusOr<FileOptions> now = read_options(context.now);
  const absl::StatusOr<FileOptions> then = read_options(options);
  if (!then.ok()) return then.status();
  const bool same_locking = now.ok() && now->locking == then->locking;
  // The others are said without effect.
  std::vector<std::string_view> changeable = {"aio", "drop-cache", "x-check-cache-dropped"};
  if (same_locking) changeable.push_back("locking");
  if (auto status = refuse_changed_options(context, changeable); !status.ok()) return status;
  const bool same = options.read_only == !file_->writable &&
                    options.cache_direct == file_->direct &&
                    options.discard_unmap == file_->unmap && options.force_share == force_share_;
  if (same) return Reopened();

  auto file = co_open_file(context.host, file_->path, options);
  if (!file.ok()) return file.status();
  const bool same_file = ThreadPool::storage().co_run(
      [&] { return is_same_file(file_->fd.get(), (*file)->fd.get()); });
  if (!same_file) {
    return errno_message(ESTALE, "file: " + file_->path +
                                     " is another file now than the one that is open. Close the "
                                     "node and add it again.");
  }
  Reopened result;
  result.limits = (*file)->limits;
  auto successor = std::make_unique<FileDriver>(*std::move(file), locks_.mode(),
                                                options.force_share, options.shared_outside);
  successor->predecessor_ = this;
  result.driver = std::move(successor);
  return result;
}

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
  const int error = ThreadPool::storage().co_run([&] {
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
  const absl::StatusOr<FileOptions> own = read_options(context.options);
  if (!own.ok()) return own.status();
  auto file = co_open_file(context.host, own->path, context.options);
  if (!file.ok()) return file.status();
  LoadedDriver loaded;
  loaded.size = (*file)->opened_size;
  loaded.limits = (*file)->limits;
  loaded.file_name = own->path;
  loaded.driver = std::make_unique<FileDriver>(
      *std::move(file), own->locking, context.options.force_share, context.options.shared_outside);
  return loaded;
}

}  // namespace penstock
