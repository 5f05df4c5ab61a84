// SPDX-License-Identifier: Apache-2.0
// expect: cannot call function 'co_begin_all' while role 'in_flight_role' is held
// A drain from within a request: it would wait for itself.
#include "block/backend/backend_request.h"
#include "block/graph/drain.h"
#include "iothreads/coroutine.h"

namespace penstock {

absl::Status co_drain_after_request(Backend& backend, DrainedSection& section) COROUTINE_CODE;

#ifdef WRONG
absl::Status co_drain_after_request(Backend& backend, DrainedSection& section) {
  BackendRequest request(backend, "read", 0, 512);
  return section.co_begin_all();
}
#else
absl::Status co_drain_after_request(Backend& backend, DrainedSection& section) {
  {
    BackendRequest request(backend, "read", 0, 512);
    if (!request.status().ok()) return request.status();
  }
  return section.co_begin_all();
}
#endif

}  // namespace penstock
