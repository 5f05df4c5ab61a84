// SPDX-License-Identifier: Apache-2.0
// qemu-storage-daemon's command line, as the start steps of a daemon.
//
// Each option becomes the control command that it stands for: --blockdev is blockdev-add, --export
// is block-export-add, --object is object-add. Its argument is JSON, or key=value options.
//
// Ownership: values.
// Threads: pure; steps run as start steps do.
// Errors: of a step: the command's, after the option and its argument.
// Invariants: steps keep the order of the options.
#pragma once

#include <string>
#include <vector>

#include "control/daemon_setup.h"

namespace penstock {

struct StorageDaemonOption {
  enum class Kind : uint8_t { kBlockdev, kChardev, kExport, kMonitor, kNbdServer, kObject };

  Kind kind;
  std::string name;      // as it is shown in messages: "--blockdev"
  std::string argument;  // as it was given
};

struct StorageDaemonPlan {
  std::vector<StorageDaemonOption> options;
  bool in_background = false;  // the standard streams are left: no monitor can have them
};

std::vector<StartStep> storage_daemon_steps(const StorageDaemonPlan& plan);

}  // namespace penstock
