// SPDX-License-Identifier: Apache-2.0
// The IoThreads that serve an export: taken, changed under live I/O, released.
//
// Ownership: holds a use of each of its threads. Each context that contexts() gives holds the same
//   use, so that a thread is in use until the last queue on it has gone. The registry outlives it.
// Threads: the control thread.
// Errors: ENOENT, EBUSY (a thread that is being started or removed); those of starting the default
//   threads; those of FuseExport::co_set_queues(). Nothing has changed then.
// Invariants: an export is listed once among the users of each thread that it has.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/thread_roles.h"
#include "control/iothread_registry.h"
#include "fuse/fuse_export.h"
#include "iothreads/aio_context.h"

namespace penstock {

class ExportThreads {
 public:
  // `user` is for messages: "export 'x'".
  ExportThreads(IoThreadRegistry& registry, std::string user)
      : registry_(registry), user_(std::move(user)) {}
  ExportThreads(const ExportThreads&) = delete;
  ExportThreads& operator=(const ExportThreads&) = delete;

  // Takes the threads called `ids`, each named once; empty: the default threads. REQUIRES: it has
  // none.
  absl::Status co_take(const std::vector<std::string>& ids) CONTROL_COROUTINE_CODE;

  std::vector<std::string> ids() const GLOBAL_STATE_CODE;
  // For FuseExport.
  std::vector<std::shared_ptr<AioContext>> contexts() const GLOBAL_STATE_CODE;

  // Takes the threads called `ids` as co_take() does, moves the export's queues to them, and lets
  // go of the others. REQUIRES: `fuse` serves from contexts(); no other co_move() is under way.
  absl::Status co_move(FuseExport& fuse,
                       const std::vector<std::string>& ids) CONTROL_COROUTINE_CODE;

  void release() GLOBAL_STATE_CODE { uses_.clear(); }

 private:
  using Uses = std::vector<std::shared_ptr<IoThreadRegistry::Use>>;
  absl::StatusOr<Uses> co_find(const std::vector<std::string>& ids) CONTROL_COROUTINE_CODE;
  absl::StatusOr<Uses> co_find_defaults() CONTROL_COROUTINE_CODE;
  std::shared_ptr<IoThreadRegistry::Use> own_use(const std::string& id) const;

  IoThreadRegistry& registry_;
  const std::string user_;
  Uses uses_;
};

}  // namespace penstock
