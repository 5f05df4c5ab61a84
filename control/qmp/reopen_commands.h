// SPDX-License-Identifier: Apache-2.0
// The command that gives open nodes new options: blockdev-reopen.
//
// Ownership: constants.
// Threads: the control thread.
// Errors: see blockdev_reopen.h.
// Invariants: see command_table.h.
#pragma once

#include <span>

#include "control/qmp/qmp_command.h"

namespace penstock {

std::span<const QmpCommand> reopen_commands();

}  // namespace penstock
