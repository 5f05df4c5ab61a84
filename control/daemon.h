// SPDX-License-Identifier: Apache-2.0
// Runs a server in the background: the caller continues when the server is ready or has failed.
//
// Ownership: the server is a process of its own, in a session of its own once it is ready.
// Threads: the main thread, while it is the only one: it forks.
// Errors: the server's failure before it was ready, with its text; ECHILD-like ends (a crash) say
//   how it ended.
// Invariants: returns in both processes. Once ready the server holds neither the caller's terminal,
//   nor its standard streams, nor its working directory; its log lines go to the system.
#pragma once

#include <functional>

#include "absl/status/status.h"
#include "base/thread_roles.h"

namespace penstock {

// A server: calls `on_ready` at most once, and returns when it has ended.
using Server = std::function<absl::Status(const std::function<void()>& on_ready)>;

struct BackgroundResult {
  bool is_server = false;  // true in the server's process, after its end: leave without a word
  absl::Status status;
};

BackgroundResult run_in_background(const Server& server) BLOCKING_CODE;

}  // namespace penstock
