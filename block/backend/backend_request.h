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
  // The edge for child_io's functions. REQUIRES: status() is OK.
  const Child& root() const { return backend_.root; }
  // Bytes.
  uint64_t size() const { return backend_.root.node->size(); }

 private:
  Backend& backend_;
  absl::Status status_;
};

}  // namespace penstock
