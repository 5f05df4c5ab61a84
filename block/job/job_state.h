// SPDX-License-Identifier: Apache-2.0
// The states of a job, what may follow what, and which command each state takes.
//
// Ownership: values.
// Threads: pure.
// Errors: none.
// Invariants: the tables and the words are the field's: clients know them.
#pragma once

#include <cstdint>

namespace penstock {

enum class JobStatus : uint8_t {
  kCreated,
  kRunning,
  kPaused,
  kReady,    // it goes on until it is told to complete
  kStandby,  // ready, and paused
  kWaiting,  // for the other jobs of its group
  kPending,  // for the command to finalize, or being finalized
  kAborting,
  kConcluded,
  kNull,  // gone
};
inline constexpr unsigned kJobStatuses = 10;

enum class JobVerb : uint8_t {
  kCancel,
  kPause,
  kResume,
  kSetSpeed,
  kComplete,
  kFinalize,
  kDismiss,
};
inline constexpr unsigned kJobVerbs = 7;

// "running"
const char* job_status_name(JobStatus status);
// "set-speed"
const char* job_verb_name(JobVerb verb);

bool job_may_become(JobStatus from, JobStatus to);
bool job_takes(JobStatus status, JobVerb verb);

}  // namespace penstock
