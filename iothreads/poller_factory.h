// SPDX-License-Identifier: Apache-2.0
// Chooses a poller at start: io_uring where it is allowed, else epoll with a thread pool.
//
// Ownership: the caller owns the poller.
// Threads: make_poller() runs on the thread that will run the context (rings are single-issuer).
// Errors: with kAuto it always succeeds; `cause` then says in one calm line why io_uring was not
//   used ("io_uring is forbidden by kernel.io_uring_disabled=2", "... by a seccomp policy
//   (EPERM)").
// Invariants: none.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "iothreads/poller.h"

namespace penstock {

enum class Engine { kAuto, kIoUring, kThreads };

// "auto", "io_uring", "threads"; nothing for other words.
std::optional<Engine> parse_engine(std::string_view word);

struct PollerChoice {
  std::unique_ptr<Poller> poller;
  std::string cause;  // empty unless kAuto fell back
};
absl::StatusOr<PollerChoice> make_poller(Engine engine);

}  // namespace penstock
