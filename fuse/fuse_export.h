// SPDX-License-Identifier: Apache-2.0
// One FUSE mount that shows one backend as a file.
//
// Ownership: refers to the backend and the host services, which outlive it; shares the contexts of
//   its queues; owns the session's descriptors. It is destroyed after co_stop() has returned.
// Threads: the control thread starts and stops it; requests run in coroutines on the contexts of
//   the queues.
// Errors: co_start answers what stat, mount or the handshake with the kernel answered, naming the
//   mount point; nothing stays mounted then. Errors of requests go to the kernel, exact.
// Invariants: each request is inside the backend's gate from before its I/O until its reply is
//   written. After ended() is set no request is served and none is in flight.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/host_services.h"
#include "base/thread_roles.h"
#include "block/backend/backend.h"
#include "fuse/export_options.h"
#include "iothreads/aio_context.h"
#include "iothreads/co_event.h"

namespace penstock {

class FuseExport {
 public:
  // Mounts and serves `backend` with one queue per context; returns when the file can be opened and
  // read. REQUIRES: at least one context; the backend has the permissions that the options need.
  static absl::StatusOr<std::unique_ptr<FuseExport>> co_start(
      Backend& backend, HostServices& host, const ExportOptions& options,
      std::vector<std::shared_ptr<AioContext>> queues) CONTROL_COROUTINE_CODE;
  FuseExport(const FuseExport&) = delete;
  FuseExport& operator=(const FuseExport&) = delete;
  ~FuseExport();  // aborts unless stopped

  // Set when the session has ended, by co_stop or because somebody unmounted it. In the second case
  // co_stop must still be called.
  CoEvent& ended();

  // Unmounts; a mount that is busy longer than `grace` is detached lazily and its users get
  // ENOTCONN. Requests in flight finish and reply. Then flushes the backend and answers the first
  // error of the flush. REQUIRES: called once.
  absl::Status co_stop(Nanoseconds grace) CONTROL_COROUTINE_CODE;

  // The size changed (Backend::on_resize): tells the kernel that the attributes it keeps are old.
  void resized(uint64_t size) GLOBAL_STATE_CODE;

  // Why the queues share one descriptor, if they do; else empty.
  const std::string& clone_failure() const;

 private:
  struct Parts;
  explicit FuseExport(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace penstock
