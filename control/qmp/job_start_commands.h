// SPDX-License-Identifier: Apache-2.0
// Commands that start jobs: blockdev-backup, blockdev-create.
//
// Ownership: constants.
// Threads: the control thread.
// Errors: as the jobs' own; what fails later is the job's result.
// Invariants: a command that fails has started nothing.
#pragma once

#include <span>

#include "control/qmp/qmp_command.h"

namespace penstock {

std::span<const QmpCommand> job_start_commands();

}  // namespace penstock
