// SPDX-License-Identifier: Apache-2.0
// expect: cannot call function 'run_sync_void' while role 'coroutine_role' is held
// A call that blocks the thread, from a coroutine: every other coroutine of the context would wait.
#include "iothreads/aio_context.h"
#include "iothreads/coroutine.h"
#include "iothreads/run_sync.h"

namespace penstock {

#ifdef WRONG
void co_ask(AioContext& other) COROUTINE_CODE;
void co_ask(AioContext& other) {
  run_sync_void(other, [] {});
}
#else
void ask_from_main(AioContext& other) BLOCKING_CODE;
void ask_from_main(AioContext& other) {
  run_sync_void(other, [] {});
}

void co_ask(AioContext& other) COROUTINE_CODE;
void co_ask(AioContext& other) { co_reschedule_self(other); }
#endif

}  // namespace penstock
