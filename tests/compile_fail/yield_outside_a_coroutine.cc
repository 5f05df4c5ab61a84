// SPDX-License-Identifier: Apache-2.0
// expect: calling function 'co_yield_self' requires holding role 'coroutine_role'
// A yield where there is nothing to resume: a plain function of a thread.
#include "iothreads/coroutine.h"

namespace penstock {

#ifdef WRONG
void wait_a_turn() { co_yield_self(); }
#else
void co_wait_a_turn() COROUTINE_CODE;
void co_wait_a_turn() { co_yield_self(); }

// A lambda is analysed on its own, so that it states where it runs.
Coroutine::Entry make_entry() {
  return [] {
    assert_in_coroutine();
    co_wait_a_turn();
  };
}
#endif

}  // namespace penstock
