// SPDX-License-Identifier: Apache-2.0
#include "drivers/file/file_zero_discard.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include <array>
#include <cerrno>

#include "base/status.h"
#include "drivers/file/file_read_write.h"
#include "iothreads/aio_context.h"
#include "iothreads/thread_pool.h"

namespace penstock {
namespace {

absl::Status unsupported(const FileHandle& file) {
  return errno_status(EOPNOTSUPP, "zeroing or discarding in " + file.path);
}

// fallocate through the ring; the first refusal clears `possible`.
absl::Status co_allocate(FileHandle& file, ByteRange range, uint32_t mode,
                         std::atomic<bool>& possible) COROUTINE_CODE {
  if (!possible.load(std::memory_order_relaxed)) return unsupported(file);
  int32_t result;
  do {
    IoOperation operation;
    operation.opcode = IoOpcode::kFallocate;
    operation.fd = file.fd.get();
    operation.offset = range.offset;
    operation.length = range.length;
    operation.mode = mode;
    result = co_perform(operation);
  } while (result == -EINTR || result == -EAGAIN);
  if (result >= 0) return absl::OkStatus();
  if (means_unsupported(-result)) {
    possible.store(false, std::memory_order_relaxed);
    return unsupported(file);
  }
  return errno_status(-result, "zeroing or discarding in " + file.path);
}

absl::Status co_punch(FileHandle& file, ByteRange range) COROUTINE_CODE {
  return co_allocate(file, range, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, file.can_punch);
}

absl::Status co_discard_blocks(FileHandle& file, ByteRange range) COROUTINE_CODE {
  if (!file.can_discard_blocks.load(std::memory_order_relaxed)) return unsupported(file);
  const int error = ThreadPool::storage().co_run([&] {
    std::array<uint64_t, 2> argument = {range.offset, range.length};
    return ioctl(file.fd.get(), BLKDISCARD, argument.data()) == 0 ? 0 : errno;
  });
  if (means_unsupported(error)) {
    file.can_discard_blocks.store(false, std::memory_order_relaxed);
    return unsupported(file);
  }
  return errno_status(error, "discarding in " + file.path);
}

}  // namespace

absl::Status co_zero_file(FileHandle& file, ByteRange range, RequestFlags flags) {
  absl::Status zeroed = unsupported(file);
  // A hole cannot reach past the end and make the file longer; zeroes can.
  const bool inside = range.end() <= file.size_seen.load(std::memory_order_relaxed);
  if ((flags & kMayUnmap) != 0 && file.unmap && inside) zeroed = co_punch(file, range);
  if (status_errno(zeroed) == EOPNOTSUPP) {
    const uint32_t mode = FALLOC_FL_ZERO_RANGE | (file.block_device ? FALLOC_FL_KEEP_SIZE : 0u);
    zeroed = co_allocate(file, range, mode, file.can_zero_range);
  }
  if (!zeroed.ok()) return zeroed;
  file.saw_size(range.end());
  return (flags & kFua) != 0 ? co_sync_file(file) : absl::OkStatus();
}

absl::Status co_discard_file(FileHandle& file, ByteRange range) {
  if (!file.unmap) return absl::OkStatus();
  return file.block_device ? co_discard_blocks(file, range) : co_punch(file, range);
}

}  // namespace penstock
