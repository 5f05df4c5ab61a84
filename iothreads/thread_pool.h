// SPDX-License-Identifier: Apache-2.0
// Threads for calls that block.
//
// Ownership: owns its threads; destroyed after the last co_run() has returned.
// Threads: co_run() in a coroutine on any context; submit() from any thread.
// Errors: the function's own result; EAGAIN of co_try_run(); a process that cannot start a thread
//   aborts with the reason.
// Invariants: the coroutine continues on the context where it called. Threads start on demand, up
//   to the limit, and end after idling.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "base/thread_roles.h"

namespace penstock {

class ThreadPool {
 public:
  explicit ThreadPool(unsigned max_threads);
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;
  ~ThreadPool();

  // Runs `function` on a worker and yields meanwhile. The function is not in a coroutine: it may
  // block.
  template <typename F>
  auto co_run(F&& function) COROUTINE_CODE {
    using Result = std::invoke_result_t<F>;
    if constexpr (std::is_void_v<Result>) {
      co_run_job([&] { function(); });
    } else {
      std::optional<Result> result;
      co_run_job([&] { result.emplace(function()); });
      return std::move(*result);
    }
  }

  // The same for a function that answers a status, or a value or a status: EAGAIN if every worker
  // is taken, without waiting for one.
  template <typename F>
  auto co_try_run(F&& function) COROUTINE_CODE {
    using Result = std::invoke_result_t<F>;
    std::optional<Result> result;
    if (!co_try_run_job([&] { result.emplace(function()); })) return Result(all_taken());
    return *std::move(result);
  }

  // Runs `job` on a worker, with nobody waiting.
  void submit(absl::AnyInvocable<void()> job);

  // The process's pool for ordinary blocking calls, which end by themselves.
  static ThreadPool& shared();
  // The one for calls on users' storage, which may hang for ever: they hold up each other at worst.
  static ThreadPool& storage();

 private:
  struct State;
  struct Call;
  void co_run_job(const std::function<void()>& job) COROUTINE_CODE;
  bool co_try_run_job(const std::function<void()>& job) COROUTINE_CODE;
  absl::Status all_taken() const;
  void start_worker();
  std::shared_ptr<State> state_;
};

}  // namespace penstock
