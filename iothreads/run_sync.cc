// SPDX-License-Identifier: Apache-2.0
#include "iothreads/run_sync.h"

#include "iothreads/fatal.h"
#include "iothreads/loop_driver.h"
#include "iothreads/thread_condition.h"
#include "iothreads/thread_mutex.h"

namespace penstock {
namespace {

void refuse_nesting() {
  if (Coroutine::self() != nullptr || AioContext::current() != nullptr) {
    fatal("run_sync() is called from a coroutine or inside an event loop");
  }
}

struct Finish {
  ThreadMutex mutex{"run_sync"};
  ThreadCondition condition;
  bool done GUARDED_BY(mutex) = false;

  void set() {
    const ThreadLock lock(mutex);
    done = true;
    condition.notify_one();
  }
  void wait() {
    const ThreadLock lock(mutex);
    while (!done) condition.wait(mutex);
  }
};

}  // namespace

void run_sync_void(AioContext& context, const std::function<void()>& function) {
  refuse_nesting();
  Finish finish;
  context.spawn("run_sync", [&function, &finish] {
    function();
    finish.set();
  });
  finish.wait();
}

void run_loop_sync_void(AioContext& context, const std::function<void()>& function) {
  refuse_nesting();
  struct Call {
    AioContext& context;
    const std::function<void()>& function;
    bool done;
  } call{context, function, false};
  context.spawn("run_loop_sync", [&call] {
    assert_in_coroutine();
    call.function();
    co_reschedule_self(call.context);  // `done` is read by that context's thread
    call.done = true;
  });
  LoopDriver::turn_until(context, call.done);
}

}  // namespace penstock
