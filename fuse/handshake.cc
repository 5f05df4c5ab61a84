// SPDX-License-Identifier: Apache-2.0
#include "fuse/handshake.h"

#include <errno.h>
#include <poll.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <span>

#include "base/aligned_buffer.h"
#include "base/status.h"
#include "iothreads/aio_context.h"
#include "iothreads/io_operation.h"

namespace penstock {
namespace {

// Requests that the kernel sends without somebody waiting in a system call of their own: readahead
// and asynchronous I/O. Its default of 12 would throttle a deep queue.
constexpr uint16_t kMaxBackground = 1024;
constexpr uint16_t kCongestionThreshold = kMaxBackground / 4 * 3;

// More than the kernel demands of a reader before the handshake.
constexpr size_t kReadBuffer = 64 * 1024;

// No FUSE_WRITEBACK_CACHE: a write that has returned is with the backend, so a drain or a snapshot
// sees it. No locks: the kernel keeps those of a local file by itself. The exported file has no
// suid bits, so that FUSE_HANDLE_KILLPRIV_V2 promises nothing and saves a request per write. With
// FUSE_PARALLEL_DIROPS a lookup that waits for a directory to be filled holds up no other one.
// Links never change, so the kernel may keep them.
constexpr uint64_t kWantedAlways = FUSE_ASYNC_READ | FUSE_BIG_WRITES | FUSE_DO_READDIRPLUS |
                                   FUSE_READDIRPLUS_AUTO | FUSE_ASYNC_DIO | FUSE_PARALLEL_DIROPS |
                                   FUSE_MAX_PAGES | FUSE_HANDLE_KILLPRIV_V2 | FUSE_INIT_EXT |
                                   FUSE_CACHE_SYMLINKS | kInitDirectIoAllowMmap;

absl::Status send_reply(int fd, uint64_t unique, const fuse_init_out& body) {
  fuse_out_header header = {};
  header.len = sizeof(header) + sizeof(body);
  header.unique = unique;
  fuse_init_out copy = body;
  iovec parts[] = {{&header, sizeof(header)}, {&copy, sizeof(copy)}};
  if (writev(fd, parts, 2) < 0) return errno_status(errno, "answering the kernel's FUSE_INIT");
  return absl::OkStatus();
}

// One request, as it comes. Waits for it by yielding.
absl::StatusOr<size_t> co_read_request(int fd, std::span<std::byte> buffer) COROUTINE_CODE {
  for (;;) {
    const ssize_t length = read(fd, buffer.data(), buffer.size());
    if (length >= 0) return static_cast<size_t>(length);
    const int error = errno;
    if (error == EINTR || error == ENOENT) continue;
    if (error != EAGAIN) return errno_status(error, "waiting for the kernel's FUSE_INIT");
    IoOperation operation;
    operation.opcode = IoOpcode::kPoll;
    operation.fd = fd;
    operation.mode = POLLIN;
    const int32_t result = co_perform(operation);
    if (result < 0) return errno_status(-result, "waiting for the kernel's FUSE_INIT");
  }
}

}  // namespace

absl::StatusOr<fuse_init_out> negotiate(const fuse_init_in& offer, bool cached) {
  if (offer.major != kProtocolMajor || offer.minor < kOldestProtocolMinor) {
    return errno_message(EPROTO, "the kernel's FUSE protocol is too old: Linux 4.20 is needed");
  }
  const uint64_t offered =
      offer.flags |
      ((offer.flags & FUSE_INIT_EXT) != 0 ? static_cast<uint64_t>(offer.flags2) << 32 : 0);
  uint64_t wanted = kWantedAlways;
  // Nobody changes the file behind the kernel's back: cached pages go only when it says so itself.
  if (cached) wanted |= FUSE_EXPLICIT_INVAL_DATA;
  const uint64_t agreed = wanted & offered;
  if ((agreed & FUSE_MAX_PAGES) == 0) {
    return errno_message(EPROTO, "the kernel offers no FUSE_MAX_PAGES: Linux 4.20 is needed");
  }
  fuse_init_out reply = {};
  reply.major = kProtocolMajor;
  reply.minor = kProtocolMinor;
  reply.max_readahead = offer.max_readahead;
  reply.flags = static_cast<uint32_t>(agreed);
  reply.flags2 = static_cast<uint32_t>(agreed >> 32);
  reply.max_background = kMaxBackground;
  reply.congestion_threshold = kCongestionThreshold;
  reply.max_write = kMaxTransfer;
  reply.max_pages = kMaxTransfer / kProtocolPage;
  reply.time_gran = 1;
  return reply;
}

absl::Status co_shake_hands(int fd, bool cached) {
  AlignedBuffer buffer(kReadBuffer, kProtocolPage);
  const absl::StatusOr<size_t> length = co_read_request(fd, buffer.span());
  if (!length.ok()) return length.status();
  fuse_in_header header;
  fuse_init_in offer = {};
  // Before 7.36 the request was shorter.
  constexpr size_t kShortest = sizeof(header) + offsetof(fuse_init_in, flags2);
  if (*length < kShortest) return errno_status(EPROTO, "a short FUSE_INIT from the kernel");
  memcpy(&header, buffer.data(), sizeof(header));
  memcpy(&offer, buffer.data() + sizeof(header), std::min(sizeof(offer), *length - sizeof(header)));
  if (header.opcode != FUSE_INIT) return errno_status(EPROTO, "a request before FUSE_INIT");
  const absl::StatusOr<fuse_init_out> reply = negotiate(offer, cached);
  if (!reply.ok()) return reply.status();
  return send_reply(fd, header.unique, *reply);
}

}  // namespace penstock
