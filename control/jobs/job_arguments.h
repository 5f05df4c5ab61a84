// SPDX-License-Identifier: Apache-2.0
// Arguments that all commands have which start a job.
//
// Ownership: values.
// Threads: pure.
// Errors: EINVAL with the field's texts.
// Invariants: none.
#pragma once

#include "absl/status/statusor.h"
#include "block/job/job.h"
#include "nlohmann/json.hpp"

namespace penstock {

// job-id, speed, auto-finalize, auto-dismiss; those that are there are of the right types.
absl::StatusOr<JobOptions> read_job_options(const nlohmann::json& arguments);

// Bytes a second.
absl::StatusOr<uint64_t> read_job_speed(const nlohmann::json& speed);

}  // namespace penstock
