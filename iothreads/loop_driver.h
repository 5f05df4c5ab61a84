// SPDX-License-Identifier: Apache-2.0
// Turns a context's loop on the calling thread until something has happened; for run_sync.h.
//
// Ownership: none.
// Threads: the context's own thread, outside its loop.
// Errors: none.
// Invariants: as for AioContext::run(), but a stop() does not end it.
#pragma once

#include "iothreads/aio_context.h"

namespace penstock {

class LoopDriver {
 public:
  // `done` is written by a coroutine on `context`.
  static void turn_until(AioContext& context, const bool& done);
};

}  // namespace penstock
