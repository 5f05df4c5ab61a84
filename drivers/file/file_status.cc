// SPDX-License-Identifier: Apache-2.0
#include "drivers/file/file_status.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/status.h"

namespace penstock {
namespace {

BlockStatus alike(uint64_t length, bool data) {
  BlockStatus status;
  status.length = length;
  status.data = data;
  status.zero = !data;
  status.allocated = true;
  return status;
}

}  // namespace

absl::StatusOr<BlockStatus> file_status(FileHandle& file, ByteRange range) {
  if (file.block_device || !file.can_seek_data.load(std::memory_order_relaxed)) {
    return alike(range.length, true);
  }
  // The descriptor's own position moves; nothing here uses it.
  const auto start = static_cast<off_t>(range.offset);
  const off_t data = lseek(file.fd.get(), start, SEEK_DATA);
  if (data < 0) {
    const int error = errno;
    if (error == ENXIO) return alike(range.length, false);  // a hole up to the end
    if (error == EINVAL || means_unsupported(error)) {
      file.can_seek_data.store(false, std::memory_order_relaxed);
      return alike(range.length, true);
    }
    return errno_status(error, "looking for data in " + file.path);
  }
  if (data > start) {
    return alike(std::min<uint64_t>(static_cast<uint64_t>(data - start), range.length), false);
  }
  const off_t hole = lseek(file.fd.get(), start, SEEK_HOLE);
  if (hole < 0 && errno != ENXIO) {
    return errno_status(errno, "looking for holes in " + file.path);
  }
  // Not past the start: the file has changed since the first call.
  if (hole <= start) return alike(range.length, true);
  return alike(std::min<uint64_t>(static_cast<uint64_t>(hole - start), range.length), true);
}

}  // namespace penstock
