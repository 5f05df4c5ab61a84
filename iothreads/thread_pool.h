// SPDX-License-Identifier: Apache-2.0
// Threads for calls that block.
//
// Ownership: owns its threads; destroyed after the last co_run() has returned.
// Threads: co_run() in a coroutine on any context; submit() from any thread.
// Errors: the function's own result; a process that cannot start a thread aborts with the reason.
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

  // Runs `job` on a worker, with nobody waiting.
  void submit(absl::AnyInvocable<void()> job);

  // The process's pool for ordinary blocking calls.
  static ThreadPool& shared();

 private:
  struct State;
  void co_run_job(const std::function<void()>& job) COROUTINE_CODE;
  std::shared_ptr<State> state_;
};

}  // namespace penstock
