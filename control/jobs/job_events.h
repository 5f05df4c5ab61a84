// SPDX-License-Identifier: Apache-2.0
// What jobs tell, as events of the control socket: JOB_STATUS_CHANGE and BLOCK_JOB_*.
//
// Ownership: none.
// Threads: the control thread.
// Errors: none.
// Invariants: names and fields are the field's.
#pragma once

#include "base/thread_roles.h"
#include "block/job/job.h"
#include "block/job/job_event.h"
#include "control/event_hub.h"

namespace penstock {

void emit_job_event(EventHub& events, const Job& job, const JobEvent& event) GLOBAL_STATE_CODE;

}  // namespace penstock
