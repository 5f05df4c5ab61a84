// SPDX-License-Identifier: Apache-2.0
// What a job tells the world about itself.
//
// Ownership: values; a listener uses the job only while it is called.
// Threads: the control thread.
// Errors: none.
// Invariants: a listener does not wait, and changes no job.
#pragma once

#include <cstdint>
#include <functional>

#include "block/job/job_error.h"

namespace penstock {

class Job;

struct JobEvent {
  enum class Kind : uint8_t {
    kStatus,     // Job::status() is new
    kReady,      // it may be told to complete
    kPending,    // it waits to be told to finalize
    kError,      // an I/O error, as below
    kCompleted,  // it has ended by itself, perhaps with Job::result()
    kCancelled,
  };
  Kind kind;
  bool is_read = false;                             // kError
  JobErrorAction action = JobErrorAction::kReport;  // kError
};

using JobListener = std::function<void(const Job&, const JobEvent&)>;

}  // namespace penstock
