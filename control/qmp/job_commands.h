// SPDX-License-Identifier: Apache-2.0
// Commands on jobs: query-jobs, job-pause, job-resume, job-cancel, job-complete, job-finalize,
// job-dismiss; and block-job-* with query-block-jobs, which are the same for older clients.
//
// Ownership: constants.
// Threads: the control thread.
// Errors: those of Job; ENOENT for a job that is not there, of the class DeviceNotActive for
//   block-job-*.
// Invariants: none waits for a job.
#pragma once

#include <span>

#include "control/qmp/qmp_command.h"

namespace penstock {

std::span<const QmpCommand> job_commands();
std::span<const QmpCommand> block_job_commands();

}  // namespace penstock
