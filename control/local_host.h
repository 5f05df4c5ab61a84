// SPDX-License-Identifier: Apache-2.0
// HostServices by this process itself, on thread pools.
//
// Ownership: refers to the pools, which outlive it.
// Threads: any coroutine on any context; the blocking calls run on the pools.
// Errors: as HostServices; for files EAGAIN if every thread waits for storage, and EDEADLK for one
//   that this host has mounted.
// Invariants: as root mounts directly; as an ordinary user through fusermount3. Storage that does
//   not answer never holds up a mount or an unmount.
#pragma once

#include <string>

#include "base/host_services.h"
#include "control/own_mounts.h"
#include "iothreads/thread_pool.h"

namespace penstock {

class LocalHost : public HostServices {
 public:
  // `pool`: for mounts; `storage`: for files.
  explicit LocalHost(ThreadPool& pool, ThreadPool& storage = ThreadPool::storage())
      : pool_(pool), storage_(storage) {}

  absl::StatusOr<UniqueFd> co_open(const std::string& path, int flags) override COROUTINE_CODE;
  absl::StatusOr<UniqueFd> co_open_resolved(const std::string& path,
                                            int flags) override COROUTINE_CODE;
  absl::StatusOr<UniqueFd> co_create(const std::string& path, mode_t mode) override COROUTINE_CODE;
  absl::StatusOr<UniqueFd> co_mount(const MountRequest& request) override COROUTINE_CODE;
  absl::Status co_unmount(const std::string& mount_point, bool lazy) override COROUTINE_CODE;
  absl::StatusOr<UniqueFd> co_clone_session(int session_fd) override COROUTINE_CODE;

 private:
  ThreadPool& pool_;
  ThreadPool& storage_;
  OwnMounts own_mounts_;
};

}  // namespace penstock
