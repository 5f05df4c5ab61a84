// SPDX-License-Identifier: Apache-2.0
// One FUSE mount that shows a tree of files.
//
// Ownership: refers to the tree, its backends and the host services, which outlive it; shares the
//   contexts of its queues; owns the session's descriptors. It is destroyed after co_stop() has
//   returned.
// Threads: the control thread starts and stops it; requests run in coroutines on the contexts of
//   the queues.
// Errors: co_start answers what stat, mount or the handshake with the kernel answered, naming the
//   mount point; nothing stays mounted then. Errors of requests go to the kernel, exact.
// Invariants: each request on a file is inside its backend's gate from before its I/O until its
//   reply is written. After ended() is set no request is served and none is in flight.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/host_services.h"
#include "base/thread_roles.h"
#include "block/backend/backend.h"
#include "fuse/export_options.h"
#include "fuse/served_tree.h"
#include "iothreads/aio_context.h"
#include "iothreads/co_event.h"

namespace penstock {

class FuseExport {
 public:
  // Mounts and serves `tree` with one queue per context; returns when its files can be opened and
  // read. The mount is read-only unless a file of the tree is writable by now; entries may be added
  // later. REQUIRES: at least one context; the backends have the permissions that their files need.
  static absl::StatusOr<std::unique_ptr<FuseExport>> co_start(
      ServedTree& tree, HostServices& host, const ExportOptions& options,
      std::vector<std::shared_ptr<AioContext>> queues) CONTROL_COROUTINE_CODE;
  FuseExport(const FuseExport&) = delete;
  FuseExport& operator=(const FuseExport&) = delete;
  ~FuseExport();  // aborts unless stopped

  // Set when the session has ended, by co_stop or because somebody unmounted it. In the second case
  // co_stop must still be called.
  CoEvent& ended();

  // How long requests may take to end in a change of queues.
  static constexpr Nanoseconds kQueueLimit = std::chrono::seconds(30);

  // Serves with one queue for each of `contexts` from now on, under live I/O; returns when the
  // queues on other contexts have finished what they had taken, and nothing runs there any more.
  // No request fails for it. Errors leave the former queues serving: ENOMEM; ETIMEDOUT if their
  // requests did not end within `limit` (a new queue then keeps its context until its own requests
  // have ended); ESHUTDOWN if the session has ended or co_stop() has begun to end it.
  // REQUIRES: at least one context, each once; co_stop() has not returned.
  absl::Status co_set_queues(const std::vector<std::shared_ptr<AioContext>>& contexts,
                             Nanoseconds limit = kQueueLimit) CONTROL_COROUTINE_CODE;

  // Unmounts; a mount that is busy longer than `grace` is detached lazily and its users get
  // ENOTCONN. Requests in flight finish and reply. Then flushes every backend that a writable file
  // shows, and answers the first error of a flush. A co_set_queues() under way ends before.
  // REQUIRES: called once.
  absl::Status co_stop(Nanoseconds grace) CONTROL_COROUTINE_CODE;

  // The size of `backend` changed (Backend::on_resize): tells the kernel that the attributes it
  // keeps of its files are old.
  void resized(const Backend& backend, uint64_t size) GLOBAL_STATE_CODE;

  // Why the queues share one descriptor, if they do; else empty.
  const std::string& clone_failure() const;

 private:
  struct Parts;
  explicit FuseExport(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace penstock
