// SPDX-License-Identifier: Apache-2.0
// Group commit of one node's flushes.
//
// Ownership: embedded in a node.
// Threads: coroutines on any context.
// Errors: a failed flush is sticky: every later one fails with its errno until the node is
//   reopened.
// Invariants: a flush that answers OK covers every write that completed before it was called.
#pragma once

#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "base/thread_roles.h"
#include "iothreads/co_mutex.h"

namespace penstock {

struct FlushState {
  CoMutex mutex;
  // Sum of completed writes that the storage has made durable; nothing before the first flush.
  std::optional<uint64_t> flushed GUARDED_BY(mutex);
  absl::Status failure GUARDED_BY(mutex);
};

}  // namespace penstock
