// SPDX-License-Identifier: Apache-2.0
// Looks for partitions in a process of its own.
//
// libblkid wants a descriptor and parses bytes that nobody vouches for. In this process it could be
// taken over by them, and a thread that waits in its own mount would keep a killed server from
// ending.
//
// Ownership: nothing outlives the call, but for a child that the kernel cannot end yet.
// Threads: a coroutine on any context; the thread pool waits.
// Errors: ETIMEDOUT after 5 s; what the process said; EINVAL for an answer that is none.
// Invariants: what is answered holds the invariants of partition_table.h whatever the process said.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "base/thread_roles.h"
#include "control/partition_table.h"

namespace penstock {

// `path` is a file of a mount that is being served, `disk_size` its size in bytes; `sector_size` as
// for probe_partitions().
absl::StatusOr<PartitionTable> co_probe_in_process(const std::string& path, uint64_t disk_size,
                                                   uint32_t sector_size) COROUTINE_CODE;

}  // namespace penstock
