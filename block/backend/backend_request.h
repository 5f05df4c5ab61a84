// SPDX-License-Identifier: Apache-2.0
// One request's stay inside a backend's gate, and the I/O that it may do there.
//
// Ownership: on the stack of the request's coroutine; its scope is the request, up to and including
//   the reply (completion tails hold up a drain).
// Threads: a coroutine on any context; it may end on another one.
// Errors: ESHUTDOWN from status() if the gate is closed for good; else as block/io/child_io.h.
// Invariants: while it lives and status() is OK the coroutine is in flight.
#pragma once

#include "absl/status/status.h"
#include "base/thread_roles.h"
#include "block/backend/backend.h"
#include "block/io/child_io.h"

namespace penstock {

class SCOPED_CAPABILITY BackendRequest {
 public:
  // `operation` is a literal ("read"); range in bytes, for messages. May wait while drained.
  BackendRequest(Backend& backend, const char* operation, uint64_t offset, uint64_t length)
      ACQUIRES(in_flight_role);
  BackendRequest(const BackendRequest&) = delete;
  BackendRequest& operator=(const BackendRequest&) = delete;
  ~BackendRequest() RELEASES();

  // Anything but OK: the request got not in and must do no I/O.
  const absl::Status& status() const { return status_; }
  // For the backend's statistics, once the I/O is done and before the reply. A request that is not
  // counted is not in them. REQUIRES: status() is OK.
  void count(RequestKind kind, ByteRange range, const absl::Status& outcome) IO_CODE {
    backend_.statistics.count(kind, range, outcome.ok(), begin_);
    if (!outcome.ok()) [[unlikely]]
      tell_failure(kind, outcome);
  }
  // The request may have changed the size of the node.
  void tell_size_changed() IO_CODE {
    if (backend_.listener != nullptr) backend_.listener->size_changed();
  }
  // The edge for child_io's functions. REQUIRES: status() is OK.
  const Child& root() const { return backend_.root; }
  // Bytes.
  uint64_t size() const { return backend_.root.node->size(); }

 private:
  void tell_failure(RequestKind kind, const absl::Status& outcome) IO_CODE;

  Backend& backend_;
  Nanoseconds begin_ = RequestStatistics::kUntimed;
  absl::Status status_;
};

}  // namespace penstock
