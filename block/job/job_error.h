// SPDX-License-Identifier: Apache-2.0
// What a job does about an I/O error.
//
// Ownership: values.
// Threads: pure.
// Errors: none.
// Invariants: the words are the field's.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace penstock {

// kEnospc: stop if there is no space left, else report.
enum class JobOnError : uint8_t { kReport, kIgnore, kStop, kEnospc };

enum class JobErrorAction : uint8_t {
  kReport,  // the job fails
  kIgnore,  // it tries again later
  kStop,    // it pauses, and tries again when it is resumed
};

// "report", "ignore", "stop", "enospc", and "auto", which is "enospc".
std::optional<JobOnError> parse_job_on_error(std::string_view word);
JobErrorAction action_on(JobOnError policy, int error_number);
// "stop"
const char* job_error_action_name(JobErrorAction action);

}  // namespace penstock
