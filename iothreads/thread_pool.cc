// SPDX-License-Identifier: Apache-2.0
#include "iothreads/thread_pool.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <string>

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
// Each may hold one call that never ends.
constexpr unsigned kStorageThreads = 256;

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

  enum class Queued : uint8_t {
    kNo,            // no worker is free
    kForWorker,     // one will take it
    kForNewWorker,  // who must be started, and is counted already
  };

  // `at_once`: not if the job would wait for a worker.
  Queued enqueue(absl::AnyInvocable<void()> job, bool at_once) {
    const ThreadLock lock(mutex);
    const bool one_is_free = jobs.size() < idle;
    if (at_once && !one_is_free && threads == max_threads) return Queued::kNo;
    jobs.push_back(std::move(job));
    if (!one_is_free && threads < max_threads) {
      ++threads;
      return Queued::kForNewWorker;
    }
    work.notify_one();
    return Queued::kForWorker;
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
  const State::Queued queued = state_->enqueue(std::move(job), /*at_once=*/false);
  if (queued == State::Queued::kForNewWorker) start_worker();
}

void ThreadPool::start_worker() {
  auto worker = start_thread("penstock-worker", [state = state_] { state->serve(); });
  if (!worker.ok()) fatal(status_text(worker.status()));
  worker->detach();
}

// On the stack of the coroutine that waits.
struct ThreadPool::Call {
  explicit Call(const std::function<void()>& function)
      : job(function), caller(Coroutine::self()), context(caller->context()) {}

  void run() {
    job();
    context->schedule(caller);
  }

  const std::function<void()>& job;
  Coroutine* const caller;
  AioContext* const context;
};

void ThreadPool::co_run_job(const std::function<void()>& job) {
  Call call(job);
  submit([&call] { call.run(); });
  co_yield_self();
}

bool ThreadPool::co_try_run_job(const std::function<void()>& job) {
  Call call(job);
  const State::Queued queued = state_->enqueue([&call] { call.run(); }, /*at_once=*/true);
  if (queued == State::Queued::kNo) return false;
  if (queued == State::Queued::kForNewWorker) start_worker();
  co_yield_self();
  return true;
}

absl::Status ThreadPool::all_taken() const {
  return errno_message(EAGAIN, "All " + std::to_string(state_->max_threads) +
                                   " threads wait for storage that does not answer: end what uses "
                                   "it, or try again when it has answered.");
}

ThreadPool& ThreadPool::shared() {
  static ThreadPool* const pool = new ThreadPool(kSharedThreads);  // outlives every thread
  return *pool;
}

ThreadPool& ThreadPool::storage() {
  static ThreadPool* const pool = new ThreadPool(kStorageThreads);  // outlives every thread
  return *pool;
}

}  // namespace penstock
