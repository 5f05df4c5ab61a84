// SPDX-License-Identifier: Apache-2.0
#include "block/backend/backend_request.h"

#include "iothreads/coroutine.h"

namespace penstock {

BackendRequest::BackendRequest(Backend& backend, const char* operation, uint64_t offset,
                               uint64_t length)
    : backend_(backend) {
  assert_in_coroutine();
  // Before the gate: waiting there is part of a request's time.
  begin_ = backend.statistics.start_time();
  status_ = backend.gate.co_enter(operation, offset, length);
}

BackendRequest::~BackendRequest() {
  if (status_.ok()) backend_.gate.leave();
}

void BackendRequest::tell_failure(RequestKind kind, const absl::Status& outcome) {
  if (backend_.listener != nullptr) backend_.listener->request_failed(backend_, kind, outcome);
}

}  // namespace penstock
