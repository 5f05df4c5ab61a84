// SPDX-License-Identifier: Apache-2.0
// The composition root of a server that starts empty: its start steps, and then its monitors'
// clients, fill it.
//
// Ownership: everything that it makes is gone when serve_daemon returns.
// Threads: the main thread, while it is the only one; it becomes the control thread. Steps run in
//   a coroutine of it.
// Errors: of starting, with everything taken back, but for a start that a signal ends; of the end,
//   such as a failed flush.
// Invariants: steps run in their order, and monitors serve nobody before all are done. The end is
//   bounded in time, every file system is unmounted at the end. If requests hang then, the failure
//   is logged and the process ends with status 1.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/thread_roles.h"
#include "control/daemon_setup.h"
#include "iothreads/poller_factory.h"

namespace penstock {

struct DaemonPlan {
  std::vector<StartStep> steps;
  std::string pid_file;  // absolute; written when all stands; empty: none
  bool foreground = false;
  Engine engine = Engine::kAuto;
};

// Serves until SIGTERM, SIGINT, SIGHUP or the command "quit". `on_ready`: all stands.
absl::Status serve_daemon(const DaemonPlan& plan,
                          const std::function<void()>& on_ready) BLOCKING_CODE;

}  // namespace penstock
