// SPDX-License-Identifier: Apache-2.0
#include "iothreads/thread_pool.h"

#include <algorithm>
#include <chrono>

#include "base/status.h"
#include "iothreads/aio_context.h"
#include "iothreads/coroutine.h"
#include "iothreads/fatal.h"
#include "iothreads/start_thread.h"
#include "iothreads/thread_condition.h"
#include "iothreads/thread_mutex.h"

namespace penstock {
namespace {

constexpr std::chrono::seconds kIdleLimit{10};
constexpr unsigned kSharedThreads = 16;

}  // namespace

// Shared with the workers, which run detached: a worker may still be on its way out when the pool,
// which has seen it leave, is gone.
struct ThreadPool::State {
  explicit State(unsigned limit) : max_threads(limit) {}

  const unsigned max_threads;
  ThreadMutex mutex{"thread pool"};
  ThreadCondition work;
  ThreadCondition gone;
  std::deque<absl::AnyInvocable<void()>> jobs GUARDED_BY(mutex);
  unsigned threads GUARDED_BY(mutex) = 0;
  unsigned idle GUARDED_BY(mutex) = 0;
  bool stopping GUARDED_BY(mutex) = false;

  // Runs jobs until there has been none for a while.
  void serve() {
    while (auto job = next_job()) job();
  }

  // An empty function tells the worker to end.
  absl::AnyInvocable<void()> next_job() {
    const ThreadLock lock(mutex);
    ++idle;
    bool timed_out = false;
    while (jobs.empty() && !stopping && !timed_out) timed_out = !work.wait_for(mutex, kIdleLimit);
    --idle;
    if (jobs.empty()) {
      --threads;
      gone.notify_all();
      return nullptr;
    }
    auto job = std::move(jobs.front());
    jobs.pop_front();
    return job;
  }

  // Queues `job`; true if a new worker must be started, which is counted already.
  bool enqueue(absl::AnyInvocable<void()> job) {
    const ThreadLock lock(mutex);
    jobs.push_back(std::move(job));
    if (jobs.size() > idle && threads < max_threads) {
      ++threads;
      return true;
    }
    work.notify_one();
    return false;
  }

  void stop() {
    const ThreadLock lock(mutex);
    stopping = true;
    work.notify_all();
    while (threads != 0) gone.wait(mutex);
  }
};

ThreadPool::ThreadPool(unsigned max_threads)
    : state_(std::make_shared<State>(std::max(1U, max_threads))) {}

ThreadPool::~ThreadPool() { state_->stop(); }

void ThreadPool::submit(absl::AnyInvocable<void()> job) {
  if (!state_->enqueue(std::move(job))) return;
  auto worker = start_thread("penstock-worker", [state = state_] { state->serve(); });
  if (!worker.ok()) fatal(status_text(worker.status()));
  worker->detach();
}

void ThreadPool::co_run_job(const std::function<void()>& job) {
  Coroutine* const self = Coroutine::self();
  struct Call {
    const std::function<void()>& job;
    Coroutine* const caller;
    AioContext* const context;
  } call{job, self, self->context()};
  submit([&call] {
    call.job();
    call.context->schedule(call.caller);
  });
  co_yield_self();
}

ThreadPool& ThreadPool::shared() {
  static ThreadPool* const pool = new ThreadPool(kSharedThreads);  // outlives every thread
  return *pool;
}

}  // namespace penstock
