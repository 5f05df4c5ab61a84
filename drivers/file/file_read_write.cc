// SPDX-License-Identifier: Apache-2.0
#include "drivers/file/file_read_write.h"

#include <limits.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>

#include "base/byte_range.h"
#include "base/status.h"
#include "iothreads/aio_context.h"

namespace penstock {
namespace {

enum class Direction { kRead, kWrite };

uint32_t iov_count(const IovecList& iov) {
  return static_cast<uint32_t>(std::min<size_t>(iov.size(), IOV_MAX));
}

// One system call, here and now. A count, or a negative errno, read before anything can yield.
ssize_t call_inline(Direction direction, int fd, const IoVector& data, uint64_t offset,
                    int rwf_flags) {
  const IovecList iov = data.gather();
  const int count = static_cast<int>(iov_count(iov));
  const auto position = static_cast<off_t>(offset);
  ssize_t moved;
  do {
    moved = direction == Direction::kRead ? preadv2(fd, iov.data(), count, position, rwf_flags)
                                          : pwritev2(fd, iov.data(), count, position, rwf_flags);
  } while (moved < 0 && errno == EINTR);
  return moved < 0 ? -errno : moved;
}

// The same through the ring. EINTR and EAGAIN mean "again".
int32_t co_call_ring(Direction direction, int fd, const IoVector& data, uint64_t offset,
                     int rwf_flags) COROUTINE_CODE {
  const IovecList iov = data.gather();
  int32_t moved;
  do {
    IoOperation operation;
    operation.opcode = direction == Direction::kRead ? IoOpcode::kReadv : IoOpcode::kWritev;
    operation.fd = fd;
    operation.iov = iov.data();
    operation.iov_count = iov_count(iov);
    operation.offset = offset;
    operation.mode = static_cast<uint32_t>(rwf_flags);
    moved = co_perform(operation);
  } while (moved == -EINTR || moved == -EAGAIN);
  return moved;
}

// How far a transfer has come.
struct Progress {
  uint64_t done = 0;  // bytes
  bool at_end = false;
  int error = 0;
};

// Counts one call's result in; false if the transfer is over.
bool advance(Progress& progress, ssize_t moved, uint64_t length) {
  if (moved < 0) {
    progress.error = static_cast<int>(-moved);
  } else if (moved == 0) {
    progress.at_end = true;
  } else {
    progress.done += static_cast<uint64_t>(moved);
  }
  return moved > 0 && progress.done < length;
}

// Moves what can be moved without waiting for a device.
void move_inline(FileHandle& file, Direction direction, const IoVector& data, uint64_t offset,
                 Progress& progress) {
  std::atomic<bool>& nowait =
      direction == Direction::kRead ? file.nowait_reads : file.nowait_writes;
  if (!file.in_memory && !nowait.load(std::memory_order_relaxed)) return;
  const int rwf_flags = file.in_memory ? 0 : RWF_NOWAIT;
  ssize_t moved;
  do {
    moved = call_inline(direction, file.fd.get(),
                        data.slice(progress.done, data.length() - progress.done),
                        offset + progress.done, rwf_flags);
  } while (advance(progress, moved, data.length()) && file.in_memory);
  if (file.in_memory) return;
  if (means_unsupported(progress.error)) nowait.store(false, std::memory_order_relaxed);
  if (progress.error == EAGAIN || means_unsupported(progress.error)) progress.error = 0;
}

void co_move_by_ring(FileHandle& file, Direction direction, const IoVector& data, uint64_t offset,
                     int rwf_flags, Progress& progress) COROUTINE_CODE {
  while (true) {
    const int32_t moved = co_call_ring(direction, file.fd.get(),
                                       data.slice(progress.done, data.length() - progress.done),
                                       offset + progress.done, rwf_flags);
    if (!advance(progress, moved, data.length())) return;
    // Direct I/O stops between two aligned places only at the end of the file.
    if (!is_aligned(progress.done, file.limits.request_alignment)) {
      progress.at_end = true;
      return;
    }
  }
}

bool unfinished(const Progress& progress, const IoVector& data) {
  return progress.done < data.length() && !progress.at_end && progress.error == 0;
}

}  // namespace

absl::Status co_read_file(FileHandle& file, uint64_t offset, const IoVector& data) {
  Progress progress;
  if (!file.direct) move_inline(file, Direction::kRead, data, offset, progress);
  if (unfinished(progress, data)) {
    co_move_by_ring(file, Direction::kRead, data, offset, 0, progress);
  }
  if (progress.error != 0) return errno_status(progress.error, "reading " + file.path);
  if (progress.done < data.length()) {
    data.slice(progress.done, data.length() - progress.done).fill_zero();
  }
  return absl::OkStatus();
}

absl::Status co_write_file(FileHandle& file, uint64_t offset, const IoVector& data,
                           RequestFlags flags) {
  Progress progress;
  const bool durable = (flags & kFua) != 0 && !file.in_memory;
  if (!file.direct && !durable) move_inline(file, Direction::kWrite, data, offset, progress);
  if (unfinished(progress, data)) {
    co_move_by_ring(file, Direction::kWrite, data, offset, durable ? RWF_DSYNC : 0, progress);
  }
  if (progress.error != 0) return errno_status(progress.error, "writing " + file.path);
  if (progress.done < data.length()) {
    return errno_status(EIO, "writing " + file.path + ": the storage took only " +
                                 std::to_string(progress.done) + " of " +
                                 std::to_string(data.length()) + " bytes");
  }
  file.saw_size(offset + data.length());
  return absl::OkStatus();
}

absl::Status co_sync_file(FileHandle& file) {
  if (file.in_memory) return absl::OkStatus();
  int32_t result;
  do {
    IoOperation operation;
    operation.opcode = IoOpcode::kFsync;
    operation.fd = file.fd.get();
    result = co_perform(operation);
  } while (result == -EINTR || result == -EAGAIN);
  return result < 0 ? errno_status(-result, "flushing " + file.path) : absl::OkStatus();
}

}  // namespace penstock
