// SPDX-License-Identifier: Apache-2.0
#include "drivers/file/file_open.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <cerrno>

#include "base/aligned_buffer.h"
#include "base/status.h"
#include "iothreads/thread_pool.h"

namespace penstock {
namespace {

constexpr uint64_t kSector = 512;
constexpr uint64_t kPage = 4096;
constexpr auto kProbedAlignments = std::to_array<uint64_t>({512, 1024, 2048, 4096});

bool sane_alignment(uint64_t alignment) {
  return std::has_single_bit(alignment) && alignment <= (1u << 20);
}

absl::Status no_direct_io(const std::string& path) {
  return errno_message(EINVAL, path +
                                   " is on a filesystem without direct I/O (O_DIRECT); open it "
                                   "with cache.direct off.");
}

// What the kernel says, since Linux 6.1. False if it says nothing.
bool ask_direct_alignment(int fd, Limits& limits) {
  struct statx about = {};
  if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &about) != 0) return false;
  if ((about.stx_mask & STATX_DIOALIGN) == 0) return false;
  if (!sane_alignment(about.stx_dio_offset_align) || !sane_alignment(about.stx_dio_mem_align)) {
    return false;
  }
  limits.request_alignment = about.stx_dio_offset_align;
  limits.memory_alignment = about.stx_dio_mem_align;
  return true;
}

// Reads with ever larger alignments until one is taken. False if none is.
bool probe_direct_alignment(int fd, Limits& limits) {
  const AlignedBuffer buffer(2 * kPage, kPage);
  for (const uint64_t alignment : kProbedAlignments) {
    if (pread(fd, buffer.data(), alignment, static_cast<off_t>(alignment)) < 0) continue;
    limits.request_alignment = alignment;
    // A filesystem may be content with less for memory; more costs a copy at worst.
    limits.memory_alignment = kPage;
    return true;
  }
  return false;
}

absl::Status find_direct_limits(FileHandle& file) {
  if (ask_direct_alignment(file.fd.get(), file.limits)) return absl::OkStatus();
  int logical_block = 0;
  if (file.block_device && ioctl(file.fd.get(), BLKSSZGET, &logical_block) == 0 &&
      sane_alignment(static_cast<uint64_t>(logical_block))) {
    file.limits.request_alignment = static_cast<uint64_t>(logical_block);
    file.limits.memory_alignment = kPage;
    return absl::OkStatus();
  }
  return probe_direct_alignment(file.fd.get(), file.limits) ? absl::OkStatus()
                                                            : no_direct_io(file.path);
}

absl::Status inspect_block_device(FileHandle& file) {
  uint64_t size = 0;
  if (ioctl(file.fd.get(), BLKGETSIZE64, &size) != 0) {
    return errno_status(errno, "asking for the size of the block device " + file.path);
  }
  file.opened_size = size;
  int logical_block = 0;
  const bool known = ioctl(file.fd.get(), BLKSSZGET, &logical_block) == 0 &&
                     sane_alignment(static_cast<uint64_t>(logical_block));
  const uint64_t block = known ? static_cast<uint64_t>(logical_block) : kSector;
  file.limits.zero_alignment = block;
  file.limits.discard_alignment = block;
  return absl::OkStatus();
}

absl::Status inspect(FileHandle& file) {
  struct stat about = {};
  if (fstat(file.fd.get(), &about) != 0) return errno_status(errno, "looking at " + file.path);
  if (S_ISDIR(about.st_mode)) return errno_status(EISDIR, "opening " + file.path);
  if (S_ISBLK(about.st_mode)) {
    file.block_device = true;
    if (const auto inspected = inspect_block_device(file); !inspected.ok()) return inspected;
  } else if (S_ISREG(about.st_mode)) {
    file.opened_size = static_cast<uint64_t>(about.st_size);
    // Holes are made of whole blocks; a smaller discard would only write zeroes.
    const auto block = static_cast<uint64_t>(about.st_blksize);
    if (sane_alignment(block)) file.limits.discard_alignment = block;
    struct statfs filesystem = {};
    file.in_memory = fstatfs(file.fd.get(), &filesystem) == 0 && filesystem.f_type == TMPFS_MAGIC;
  } else {
    return errno_message(EINVAL, file.path +
                                     " is neither a regular file nor a block device; give the "
                                     "path of an image.");
  }
  file.size_seen.store(file.opened_size, std::memory_order_relaxed);

  // It was opened without waiting, for the case that it is a pipe.
  const int flags = fcntl(file.fd.get(), F_GETFL);
  if (flags < 0 || fcntl(file.fd.get(), F_SETFL, flags & ~O_NONBLOCK) != 0) {
    return errno_status(errno, "setting up " + file.path);
  }
  return file.direct ? find_direct_limits(file) : absl::OkStatus();
}

}  // namespace

bool means_unsupported(int error_number) {
  return error_number == EOPNOTSUPP || error_number == ENOSYS || error_number == ENOTTY ||
         error_number == ENODEV;
}

absl::StatusOr<std::unique_ptr<FileHandle>> co_open_file(HostServices& host,
                                                         const std::string& path,
                                                         const NodeOptions& options) {
  const int flags = (options.read_only ? O_RDONLY : O_RDWR) |
                    (options.cache_direct ? O_DIRECT : 0) | O_NONBLOCK | O_NOCTTY;
  auto fd = options.resolved_path.empty() ? host.co_open(path, flags)
                                          : host.co_open_resolved(options.resolved_path, flags);
  if (!fd.ok()) {
    const bool direct_refused = options.cache_direct && status_errno(fd.status()) == EINVAL;
    return direct_refused ? no_direct_io(path) : fd.status();
  }
  auto file = std::make_unique<FileHandle>();
  file->fd = *std::move(fd);
  file->path = path;
  file->writable = !options.read_only;
  file->direct = options.cache_direct;
  file->unmap = options.discard_unmap;
  const absl::Status inspected = ThreadPool::storage().co_try_run([&] { return inspect(*file); });
  if (!inspected.ok()) return inspected;
  return file;
}

}  // namespace penstock
