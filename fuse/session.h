// SPDX-License-Identifier: Apache-2.0
// What the requests of one mount share.
//
// Ownership: owned by the export; outlives its queues. Refers to the tree and its backends.
// Threads: constants, and parts with their own synchronisation.
// Errors: none.
// Invariants: inode numbers are the tree's node numbers.
#pragma once

#include <errno.h>

#include <atomic>
#include <cstdint>

#include "block/backend/backend.h"
#include "fuse/export_options.h"
#include "fuse/file_times.h"
#include "fuse/protocol.h"
#include "fuse/served_tree.h"
#include "iothreads/co_event.h"

namespace penstock {

class Session {
 public:
  Session(ServedTree& served, const ExportOptions& export_options, uint32_t server_uid,
          uint32_t server_gid, timespec start, unsigned queues)
      : tree(served),
        options(export_options),
        writable(!served.writable_backends().empty()),
        main_backend(served.first_backend()),
        uid(export_options.uid.value_or(server_uid)),
        gid(export_options.gid.value_or(server_gid)),
        times(start),
        running_queues_(queues) {}
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // The errno (0: none) of writing to a file. One that is read-only in a mount that is not answers
  // as its mode does.
  int write_error(const ServedFile& file) const {
    if (file.writable) return 0;
    return writable ? EACCES : EROFS;
  }

  // One queue more is to serve; false if the session has ended.
  bool add_queue() {
    unsigned running = running_queues_.load(std::memory_order_relaxed);
    while (running != 0) {
      if (running_queues_.compare_exchange_weak(running, running + 1, std::memory_order_acq_rel)) {
        return true;
      }
    }
    return false;
  }
  // A queue has served its last request. After the last queue's call `ended` is set.
  void queue_ended() {
    if (running_queues_.fetch_sub(1, std::memory_order_acq_rel) == 1) ended.set();
  }

  // Constant.
  ServedTree& tree;
  const ExportOptions options;
  const bool writable;  // something in the mount is
  // The first file's; statfs shows its size. nullptr: there was no file at start.
  Backend* const main_backend;
  const uint32_t uid;
  const uint32_t gid;

  // Their own synchronisation.
  FileTimes times;
  // The main backend's size in bytes when somebody last asked, for answers that must not wait for a
  // drain.
  std::atomic<uint64_t> last_size{0};
  // Requests that can be cut short shall be.
  std::atomic<bool> ending{false};
  CoEvent ended;

 private:
  std::atomic<unsigned> running_queues_;  // 0: the session has ended, for good
};

}  // namespace penstock
