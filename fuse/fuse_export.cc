// SPDX-License-Identifier: Apache-2.0
#include "fuse/fuse_export.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <utility>

#include "base/status.h"
#include "base/unique_fd.h"
#include "block/graph/topology.h"
#include "fuse/file_operations.h"
#include "fuse/handshake.h"
#include "fuse/mount_point.h"
#include "fuse/queue_set.h"
#include "fuse/session.h"
#include "iothreads/control_thread.h"
#include "iothreads/coroutine.h"
#include "iothreads/thread_pool.h"

namespace penstock {
namespace {

// Between two tries to unmount what is busy.
constexpr Nanoseconds kUnmountRetry = std::chrono::milliseconds(20);

using SharedFd = std::shared_ptr<const UniqueFd>;

absl::Status set_non_blocking(int fd) {
  const int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
    return errno_status(errno, "making the FUSE descriptor non-blocking");
  }
  return absl::OkStatus();
}

void invalidate_attributes_of(int fd, uint64_t node) {
  fuse_notify_inval_inode_out body = {};
  body.ino = node;
  body.off = -1;  // a negative offset leaves the pages alone
  fuse_out_header header = {};
  header.len = sizeof(header) + sizeof(body);
  header.error = FUSE_NOTIFY_INVAL_INODE;
  std::array<iovec, 2> parts = {{{&header, sizeof(header)}, {&body, sizeof(body)}}};
  // ENOENT: the kernel does not know the inode, and so keeps no attributes of it.
  [[maybe_unused]] const ssize_t written = writev(fd, parts.data(), parts.size());
}

// Tells the kernel to ask for the files' attributes again. In a thread of the pool, since the
// kernel may wait in there for an inode that is on its way out. The descriptor stays open until it
// is done.
void invalidate_attributes(SharedFd fd, std::vector<const ServedEntry*> files) {
  std::vector<uint64_t> nodes;
  for (const ServedEntry* file : files) nodes.push_back(file->node);
  ThreadPool::shared().submit([fd = std::move(fd), nodes = std::move(nodes)] {
    for (const uint64_t node : nodes) invalidate_attributes_of(fd->get(), node);
  });
}

// A directory cannot be mounted over a file, nor the other way round.
absl::Status co_check_mount_point(const ServedTree& tree,
                                  const std::string& mount_point) COROUTINE_CODE {
  const absl::StatusOr<bool> covers_file = co_is_regular_file(mount_point);
  if (!covers_file.ok()) return covers_file.status();
  const bool serves_file = tree.root().kind == EntryKind::kFile;
  if (*covers_file == serves_file) return absl::OkStatus();
  return serves_file ? errno_message(EISDIR, "the mount point \"" + mount_point +
                                                 "\" is a directory, but a file is to cover it")
                     : errno_message(ENOTDIR, "the mount point \"" + mount_point +
                                                  "\" is a file, but a directory is to cover it");
}

}  // namespace

struct FuseExport::Parts {
  Parts(ServedTree& tree, HostServices& services, const ExportOptions& options, timespec start,
        unsigned queue_count)
      : host(services),
        session(tree, options, geteuid(), getegid(), start, queue_count),
        queues(session, services) {}

  absl::Status co_unmount_within(Nanoseconds grace) CONTROL_COROUTINE_CODE;

  HostServices& host;
  Session session;
  QueueSet queues;
  bool stopped = false;
};

// OK once the session will end by itself or has ended. Otherwise it must be ended from here.
absl::Status FuseExport::Parts::co_unmount_within(Nanoseconds grace) {
  const std::string& mount_point = session.options.mount_point;
  if (session.ended.is_set()) {
    // Unmounted by somebody, or aborted, which leaves a dead mount behind.
    if (!co_is_dead_mount(mount_point)) return absl::OkStatus();
    return host.co_unmount(mount_point, /*lazy=*/true);
  }
  const Nanoseconds deadline = control_context().now() + grace;
  for (;;) {
    const absl::Status status = host.co_unmount(mount_point, /*lazy=*/false);
    const Nanoseconds now = control_context().now();
    if (status.ok()) {
      // The kernel ends the session, unless the mount lives on in another mount namespace.
      session.ended.co_wait_until(std::max(deadline, now + kUnmountRetry));
      return absl::OkStatus();
    }
    if (now >= deadline) return host.co_unmount(mount_point, /*lazy=*/true);
    if (session.ended.co_wait_until(std::min(deadline, now + kUnmountRetry))) {
      return absl::OkStatus();
    }
  }
}

absl::StatusOr<std::unique_ptr<FuseExport>> FuseExport::co_start(
    ServedTree& tree, HostServices& host, const ExportOptions& options,
    std::vector<std::shared_ptr<AioContext>> queues) {
  absl::Status status = co_check_mount_point(tree, options.mount_point);
  if (!status.ok()) return status;
  const Backend* const first = tree.first_backend();
  const timespec start =
      co_modification_time(first == nullptr ? "" : image_file_name(*first->root.node));
  auto parts =
      std::make_unique<Parts>(tree, host, options, start, static_cast<unsigned>(queues.size()));
  Session& session = parts->session;
  if (session.main_backend != nullptr) {
    session.last_size.store(session.main_backend->root.node->size(), std::memory_order_relaxed);
  }

  absl::StatusOr<UniqueFd> mounted = host.co_mount(make_mount_request(options, session.writable));
  if (!mounted.ok()) return mounted.status();
  auto session_fd = std::make_shared<const UniqueFd>(*std::move(mounted));
  status = set_non_blocking(session_fd->get());
  if (status.ok()) status = co_shake_hands(session_fd->get(), options.cached);
  if (status.ok()) status = parts->queues.co_start(session_fd, queues);
  if (!status.ok()) {
    const absl::Status unmounted = host.co_unmount(options.mount_point, /*lazy=*/true);
    if (!unmounted.ok()) status = annotate(status, status_text(unmounted));
    return annotate(status, "mounting on \"" + options.mount_point + "\"");
  }
  return std::unique_ptr<FuseExport>(new FuseExport(std::move(parts)));
}

FuseExport::FuseExport(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

FuseExport::~FuseExport() {
  if (parts_->stopped) return;
  fprintf(stderr, "penstock: the export on \"%s\" is destroyed before it was stopped\n",
          parts_->session.options.mount_point.c_str());
  abort();
}

CoEvent& FuseExport::ended() { return parts_->session.ended; }

const std::string& FuseExport::clone_failure() const { return parts_->queues.clone_failure(); }

absl::Status FuseExport::co_set_queues(const std::vector<std::shared_ptr<AioContext>>& contexts,
                                       Nanoseconds limit) {
  return parts_->queues.co_exchange(contexts, limit);
}

absl::Status FuseExport::co_stop(Nanoseconds grace) {
  Parts& parts = *parts_;
  parts.session.ending.store(true, std::memory_order_relaxed);
  const absl::Status unmounted = parts.co_unmount_within(grace);
  parts.queues.co_end();
  parts.stopped = true;
  const absl::Status flushed = co_flush_all(parts.session.tree);
  return flushed.ok() ? unmounted : flushed;
}

void FuseExport::resized(const Backend& backend, uint64_t size) {
  Session& session = parts_->session;
  if (&backend == session.main_backend) session.last_size.store(size, std::memory_order_relaxed);
  if (parts_->queues.session_fd() == nullptr) return;
  invalidate_attributes(parts_->queues.session_fd(), session.tree.files_of(backend));
}

}  // namespace penstock
