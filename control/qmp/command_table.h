// SPDX-License-Identifier: Apache-2.0
// All commands of the control socket.
//
// Ownership: constants.
// Threads: find and run on the control thread.
// Errors: CommandNotFound; GenericError for arguments that do not fit the table.
// Invariants: each name is there once.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "control/qmp/qmp_command.h"

namespace penstock {

// In alphabetical order. Each group of commands is one file in control/qmp/, with one function
// that answers its part: object_commands(), blockdev_commands(), export_commands(), ...
const std::vector<const QmpCommand*>& all_qmp_commands();
const QmpCommand* find_qmp_command(const std::string& name);

// Checks the arguments against the table and runs the command.
absl::StatusOr<nlohmann::json> co_run_qmp_command(Daemon& daemon, const std::string& name,
                                                  const nlohmann::json& arguments)
    CONTROL_COROUTINE_CODE;

}  // namespace penstock
