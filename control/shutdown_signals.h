// SPDX-License-Identifier: Apache-2.0
// SIGTERM, SIGINT and SIGHUP as something that a coroutine waits for.
//
// Ownership: owns its descriptor and puts the signal mask back at its end.
// Threads: made before any other thread exists, so that all inherit the blocked signals; waited for
//   in one coroutine on one context, cancelled on the same one.
// Errors: create() answers signalfd's errno.
// Invariants: while it lives none of these signals ends the process.
#pragma once

#include <csignal>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/thread_roles.h"
#include "base/unique_fd.h"
#include "iothreads/io_operation.h"

namespace penstock {

class ShutdownSignals {
 public:
  static absl::StatusOr<std::unique_ptr<ShutdownSignals>> create();
  ShutdownSignals(const ShutdownSignals&) = delete;
  ShutdownSignals& operator=(const ShutdownSignals&) = delete;
  ~ShutdownSignals();

  // The name of the signal that came ("SIGTERM"), or empty after cancel().
  std::string co_wait() COROUTINE_CODE;
  // Ends a co_wait() that is under way, and every later one.
  void cancel();

 private:
  ShutdownSignals() = default;

  sigset_t old_mask_;
  UniqueFd fd_;
  IoOperation poll_;
  bool waiting_ = false;
  bool cancelled_ = false;
};

}  // namespace penstock
