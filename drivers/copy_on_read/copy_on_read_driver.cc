// SPDX-License-Identifier: Apache-2.0
#include "drivers/copy_on_read/copy_on_read_driver.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <limits>

#include "base/status.h"
#include "block/io/child_io.h"
#include "block/node/node.h"
#include "iothreads/aio_context.h"

namespace penstock {
namespace {

// What a request says about itself; the rest of its flags is between a node and its choke point.
constexpr RequestFlags kPassedFlags = kFua | kMayUnmap | kNoFallback;

// A full or failing disk is not tried again for each read.
constexpr Nanoseconds kPause = std::chrono::seconds(1);
constexpr int64_t kForGood = std::numeric_limits<int64_t>::max();

// True if the image directly below has a backing node: past another filter, copying could not keep
// writers of the image out. A node that is being closed has nothing below.
bool stands_on_backing(const Child& file) {
  const Node* const node = file.node;
  if (node == nullptr || node->driver == nullptr || node->driver->is_filter()) return false;
  return std::ranges::any_of(node->children, [](const auto& child) {
    return child->role == ChildRole::kBacking && child->node != nullptr;
  });
}

// True if trying again cannot help until the nodes below are changed.
bool is_lasting(int error_number) {
  return error_number == EROFS || error_number == EOPNOTSUPP || error_number == EPERM ||
         error_number == EACCES;
}

}  // namespace

CopyOnReadDriver::CopyOnReadDriver(const Child& file)
    : file_(file), has_backing_(stands_on_backing(file)) {}

Resizable* CopyOnReadDriver::resizable() {
  return file_.node->driver->resizable() != nullptr ? this : nullptr;
}

bool CopyOnReadDriver::grows_by_writing() const {
  const Resizable* below = file_.node->driver->resizable();
  return below != nullptr && below->grows_by_writing();
}

Permissions CopyOnReadDriver::child_permissions(const Child& child,
                                                const Permissions& parents) const {
  // A file that cannot be written is read without copying.
  const bool writable = child.node != nullptr && !child.node->read_only;
  const bool copies = writable && (parents.taken & kConsistentRead) != 0;
  return {parents.taken | (copies ? kWriteUnchanged : 0), parents.shared};
}

void CopyOnReadDriver::drain_end() {
  has_backing_.store(stands_on_backing(file_), std::memory_order_relaxed);
  paused_until_.store(0, std::memory_order_relaxed);
}

nlohmann::json CopyOnReadDriver::describe() const {
  const ThreadLock lock(mutex_);
  if (failures_ == 0) return nullptr;
  return {{"failed-copies", failures_}, {"last-failure", status_text(last_failure_)}};
}

absl::Status CopyOnReadDriver::co_readv(uint64_t offset, const IoVector& data, RequestFlags flags) {
  if (may_copy()) co_bring_up({offset, data.length()});
  return co_preadv(file_, offset, data, flags & kPassedFlags);
}

absl::Status CopyOnReadDriver::co_writev(uint64_t offset, const IoVector& data,
                                         RequestFlags flags) {
  return co_pwritev(file_, offset, data, flags & kPassedFlags);
}

absl::Status CopyOnReadDriver::co_flush() { return penstock::co_flush(file_); }

absl::Status CopyOnReadDriver::co_write_zeroes(ByteRange range, RequestFlags flags) {
  return penstock::co_write_zeroes(file_, range, flags & kPassedFlags);
}

absl::Status CopyOnReadDriver::co_discard(ByteRange range) {
  return penstock::co_discard(file_, range);
}

absl::Status CopyOnReadDriver::co_resize(uint64_t size) { return penstock::co_resize(file_, size); }

bool CopyOnReadDriver::may_copy() const {
  if (!has_backing_.load(std::memory_order_relaxed)) [[likely]]
    return false;
  if ((file_.permissions().taken & kWriteUnchanged) == 0) return false;
  const int64_t paused_until = paused_until_.load(std::memory_order_relaxed);
  return paused_until == 0 || AioContext::current()->now().count() >= paused_until;
}

// Looks first, since copying up excludes others.
void CopyOnReadDriver::co_bring_up(ByteRange range) {
  while (!range.empty()) {
    const auto status = penstock::co_block_status(file_, range);
    // The read itself will tell.
    if (!status.ok()) return;
    const ByteRange here{range.offset, std::min(status->length, range.length)};
    if (!status->allocated && !status->zero) {
      if (const auto copied = co_copy_up(file_, here); !copied.ok()) return note_failure(copied);
    }
    range = {here.end(), range.end() - here.end()};
  }
}

void CopyOnReadDriver::note_failure(const absl::Status& status) {
  const bool lasting = is_lasting(status_errno(status));
  paused_until_.store(lasting ? kForGood : (AioContext::current()->now() + kPause).count(),
                      std::memory_order_relaxed);
  const ThreadLock lock(mutex_);
  ++failures_;
  last_failure_ = status;
}

ChildRole CopyOnReadDriverType::role_of(std::string_view /*child_name*/) const {
  return ChildRole::kFiltered;
}

absl::StatusOr<LoadedDriver> CopyOnReadDriverType::co_load(const LoadContext& context) const {
  OptionReader reader(context.options);
  if (!reader.take_json("bottom").is_null()) {
    return errno_message(EOPNOTSUPP,
                         "copy-on-read: \"bottom\" is not supported; leave it out to have what "
                         "all backing images hold copied.");
  }
  if (const auto left = reader.finish(); !left.ok()) return left;
  if (context.file == nullptr) {
    return errno_message(EINVAL,
                         "copy-on-read: there is no \"file\" child; name one in the options.");
  }
  LoadedDriver loaded;
  loaded.size = context.file->node->size();
  loaded.file_name = context.file->node->file_name;
  loaded.driver = std::make_unique<CopyOnReadDriver>(*context.file);
  return loaded;
}

}  // namespace penstock
