// SPDX-License-Identifier: Apache-2.0
// The synchronous bridge, for main() and tests only.
//
// Ownership: nothing outlives the call.
// Threads: a thread that runs no loop and no coroutine: it blocks. Aborts when nested.
// Errors: none of its own.
// Invariants: `function` has run to its end in a coroutine of `context` when run_sync returns.
#pragma once

#include <functional>
#include <optional>
#include <type_traits>
#include <utility>

#include "base/thread_roles.h"
#include "iothreads/aio_context.h"

namespace penstock {

// Runs `function` in a coroutine of `context`, whose loop runs on another thread, and waits for it.
void run_sync_void(AioContext& context, const std::function<void()>& function) BLOCKING_CODE;
// The same for a context that no thread runs yet: this thread turns its loop meanwhile.
void run_loop_sync_void(AioContext& context, const std::function<void()>& function) BLOCKING_CODE;

template <typename F>
auto run_sync(AioContext& context, F&& function) BLOCKING_CODE {
  using Result = std::invoke_result_t<F>;
  if constexpr (std::is_void_v<Result>) {
    run_sync_void(context, [&] { function(); });
  } else {
    std::optional<Result> result;
    run_sync_void(context, [&] { result.emplace(function()); });
    return std::move(*result);
  }
}

template <typename F>
auto run_loop_sync(AioContext& context, F&& function) BLOCKING_CODE {
  using Result = std::invoke_result_t<F>;
  if constexpr (std::is_void_v<Result>) {
    run_loop_sync_void(context, [&] { function(); });
  } else {
    std::optional<Result> result;
    run_loop_sync_void(context, [&] { result.emplace(function()); });
    return std::move(*result);
  }
}

}  // namespace penstock
