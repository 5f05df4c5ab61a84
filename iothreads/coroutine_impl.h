// SPDX-License-Identifier: Apache-2.0
// What the loop knows of a coroutine: its stack, its entry, and what it asked for when it yielded.
//
// Ownership: coroutine_pool.h hands it out and takes it back; each object runs many entries in
//   turn.
// Threads: the running coroutine and the loop that runs it. `next` belongs to the one list it is
//   in.
// Errors: an entry that throws ends the process.
// Invariants: an object is in at most one list: a ready list, a remote queue, or a pool. It is on
//   the registry of Coroutine::for_each from its construction to its destruction.
#pragma once

#include "iothreads/coroutine.h"
#include "iothreads/fiber_stack.h"
#include "iothreads/fiber_switch.h"

namespace penstock {

class CoroutineImpl : public Coroutine {
 public:
  // Why the coroutine gave up the thread.
  enum class Request { kNone, kEnded, kMove, kVisit };

  CoroutineImpl();
  CoroutineImpl(const CoroutineImpl&) = delete;
  CoroutineImpl& operator=(const CoroutineImpl&) = delete;
  ~CoroutineImpl();

  // The next enter() runs `entry`.
  void prepare(const char* name, Entry entry, AioContext* context);

  // The loop: runs the coroutine until it yields.
  void enter() { fiber_.enter(); }
  // The coroutine: yields to the loop.
  void leave() { fiber_.leave(); }
  void set_context(AioContext* context) { context_ = context; }
  const char* name() const { return name_; }

  CoroutineImpl* next = nullptr;

  Request request = Request::kNone;
  AioContext* move_target = nullptr;  // kMove
  unsigned visit_slot = 0;            // kVisit
  bool visited = false;               // the answer to kVisit

 private:
  friend class Coroutine;
  static void run_entries(void* self) noexcept;
  void finish_entry();

  const char* name_ = "";
  Entry entry_;
  FiberStack stack_;
  FiberSwitch fiber_;
  // The registry's, under its lock.
  CoroutineImpl* registered_next_ = nullptr;
  CoroutineImpl* registered_previous_ = nullptr;
};

// The coroutine that runs on this thread. The loop's; everybody else uses Coroutine::self().
void set_running_coroutine(CoroutineImpl* coroutine);

}  // namespace penstock
