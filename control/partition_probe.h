// SPDX-License-Identifier: Apache-2.0
// Looks for partitions in processes of their own.
//
// libblkid wants a descriptor and parses bytes that nobody vouches for. In this process it could be
// taken over by them, and a thread that waits in its own mount would keep a killed server from
// ending.
//
// Ownership: nothing outlives it, but for a process that the kernel cannot end yet. Destroyed after
//   the last co_probe() has returned.
// Threads: the control thread; threads of its own wait for the processes.
// Errors: of co_probe(): ETIMEDOUT after 5 s; EAGAIN if no process could be started for 15 s, since
//   others ran; ECANCELED after cancel(); what the process said; EINVAL for an answer that is none.
// Invariants: at most two processes run, and what they read may use any other thread meanwhile.
//   What is answered holds the invariants of partition_table.h whatever the process said.
#pragma once

#include <cstdint>
#include <deque>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/thread_roles.h"
#include "base/unique_fd.h"
#include "control/partition_table.h"

namespace penstock {

class PartitionProbe {
 public:
  static constexpr unsigned kAtOnce = 2;

  // `program` is run with the arguments of `penstock probe-partitions`. The default is this very
  // program, even if its file has been replaced since.
  explicit PartitionProbe(std::string program = "/proc/self/exe");
  PartitionProbe(const PartitionProbe&) = delete;
  PartitionProbe& operator=(const PartitionProbe&) = delete;

  // `path` is a file of a mount that is being served, `disk_size` its size in bytes; `sector_size`
  // as for probe_partitions().
  absl::StatusOr<PartitionTable> co_probe(const std::string& path, uint64_t disk_size,
                                          uint32_t sector_size) CONTROL_COROUTINE_CODE;

  // Ends what runs, and starts no more.
  void cancel() GLOBAL_STATE_CODE;
  bool is_cancelled() const { return cancelled_; }

 private:
  struct Waiter;
  absl::StatusOr<PartitionTable> run(const std::string& path, uint32_t sector_size) BLOCKING_CODE;
  absl::Status co_take_turn() CONTROL_COROUTINE_CODE;
  void give_turn() GLOBAL_STATE_CODE;

  const std::string program_;
  const UniqueFd stop_;  // an eventfd, readable after cancel()
  bool cancelled_ = false;
  unsigned running_ = 0;
  std::deque<Waiter*> waiting_;
};

}  // namespace penstock
