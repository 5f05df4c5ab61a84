// SPDX-License-Identifier: Apache-2.0
// expect: calling function 'co_flush' requires holding role 'in_flight_role'
// I/O on a node without having entered a gate: a drain would not wait for it.
#include "block/backend/backend_request.h"
#include "block/io/child_io.h"

namespace penstock {

absl::Status co_sync(Backend& backend) COROUTINE_CODE;

#ifdef WRONG
absl::Status co_sync(Backend& backend) { return co_flush(backend.root); }
#else
absl::Status co_sync(Backend& backend) {
  BackendRequest request(backend, "flush", 0, 0);
  if (!request.status().ok()) return request.status();
  return co_flush(request.root());
}
#endif

}  // namespace penstock
