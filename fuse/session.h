// SPDX-License-Identifier: Apache-2.0
// What the requests of one mount share.
//
// Ownership: owned by the export; outlives its queues. Refers to the backend.
// Threads: constants, and parts with their own synchronisation.
// Errors: none.
// Invariants: the file is node 2 below the root directory, or the root itself where the mount
//   covers a regular file.
#pragma once

#include <atomic>
#include <cstdint>
#include <string_view>

#include "block/backend/backend.h"
#include "fuse/export_options.h"
#include "fuse/file_times.h"
#include "fuse/protocol.h"
#include "iothreads/co_event.h"

namespace penstock {

inline constexpr uint64_t kFileNodeInDirectory = 2;
inline constexpr std::string_view kFileName = "disk";

class Session {
 public:
  Session(Backend& served, const ExportOptions& export_options, bool covers_file,
          uint32_t server_uid, uint32_t server_gid, timespec start, unsigned queues)
      : backend(served),
        options(export_options),
        file_node(covers_file ? FUSE_ROOT_ID : kFileNodeInDirectory),
        uid(export_options.uid.value_or(server_uid)),
        gid(export_options.gid.value_or(server_gid)),
        times(start),
        running_queues_(queues) {}
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  bool has_directory() const { return file_node != FUSE_ROOT_ID; }

  // A queue has served its last request. After the last queue's call `ended` is set.
  void queue_ended() {
    if (running_queues_.fetch_sub(1, std::memory_order_acq_rel) == 1) ended.set();
  }

  // Constant.
  Backend& backend;
  const ExportOptions options;
  const uint64_t file_node;
  const uint32_t uid;
  const uint32_t gid;

  // Their own synchronisation.
  FileTimes times;
  // The size in bytes when somebody last asked, for answers that must not wait for a drain.
  std::atomic<uint64_t> last_size{0};
  CoEvent ended;

 private:
  std::atomic<unsigned> running_queues_;
};

}  // namespace penstock
