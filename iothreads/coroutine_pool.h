// SPDX-License-Identifier: Apache-2.0
// Idle coroutines: a bounded list for each thread and a bounded common one behind them.
//
// Ownership: the pool owns idle coroutines. The common list lives as long as the process.
// Threads: any; a thread's own list is touched by that thread alone.
// Errors: none; see fiber_stack.h for exhausted memory.
// Invariants: between threads coroutines move in batches, so a steady load rarely meets the lock.
#pragma once

namespace penstock {

class CoroutineImpl;

CoroutineImpl* take_pooled_coroutine();
void give_pooled_coroutine(CoroutineImpl* coroutine);

}  // namespace penstock
