// SPDX-License-Identifier: Apache-2.0
// Who wants to know what the requests of a backend met.
//
// Ownership: outlives the backends that refer to it.
// Threads: the functions are called in a request's coroutine on any context. They do not wait.
// Errors: none.
// Invariants: called for failures and changes of the size only: other requests pay nothing.
#pragma once

#include "absl/status/status.h"
#include "base/thread_roles.h"
#include "block/backend/request_statistics.h"

namespace penstock {

class Backend;

class BackendListener {
 public:
  virtual void request_failed(const Backend& backend, RequestKind kind,
                              const absl::Status& outcome) IO_CODE = 0;
  // The size of the backend's node may have changed.
  virtual void size_changed() IO_CODE = 0;

 protected:
  ~BackendListener() = default;
};

}  // namespace penstock
