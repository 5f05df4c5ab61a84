// SPDX-License-Identifier: Apache-2.0
// HostServices by this process itself, on the thread pool.
//
// Ownership: refers to the pool, which outlives it.
// Threads: any coroutine on any context; the blocking calls run on the pool.
// Errors: as HostServices.
// Invariants: as root mounts directly; as an ordinary user through fusermount3.
#pragma once

#include <string>

#include "base/host_services.h"
#include "iothreads/thread_pool.h"

namespace penstock {

class LocalHost : public HostServices {
 public:
  explicit LocalHost(ThreadPool& pool) : pool_(pool) {}

  absl::StatusOr<UniqueFd> co_open(const std::string& path, int flags) override COROUTINE_CODE;
  absl::StatusOr<UniqueFd> co_open_resolved(const std::string& path,
                                            int flags) override COROUTINE_CODE;
  absl::StatusOr<UniqueFd> co_mount(const MountRequest& request) override COROUTINE_CODE;
  absl::Status co_unmount(const std::string& mount_point, bool lazy) override COROUTINE_CODE;
  absl::StatusOr<UniqueFd> co_clone_session(int session_fd) override COROUTINE_CODE;

 private:
  ThreadPool& pool_;
};

}  // namespace penstock
