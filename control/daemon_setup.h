// SPDX-License-Identifier: Apache-2.0
// What the start steps of a daemon work on: the daemon itself, and where its monitors' clients will
// come from.
//
// Ownership: owned by the server; steps keep nothing of it.
// Threads: the control thread.
// Errors: a step's own; what it and earlier ones made is taken down by the server.
// Invariants: a monitor serves nobody before every step is done.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "control/chardev.h"

namespace penstock {

class Daemon;

struct DaemonSetup {
  Daemon& daemon;
  std::vector<std::unique_ptr<Chardev>> chardevs;
};

// A CONTROL_COROUTINE_CODE function; a std::function cannot say so.
using StartStep = std::function<absl::Status(DaemonSetup&)>;

// A monitor at a socket of its own. `path`: absolute; empty: PID.qmp in the runtime directory.
// `on_open` is told the path.
StartStep open_control_socket(std::string path,
                              std::function<void(const std::string& path)> on_open);

}  // namespace penstock
