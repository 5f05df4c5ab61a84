// SPDX-License-Identifier: Apache-2.0
// Waiting for a job of a server, with its progress shown.
//
// Ownership: values; refers to what it is given.
// Threads: the main thread; everything may block.
// Errors: the job's own; ECANCELED if it was cancelled; those of the server.
// Invariants: when wait_for_job() returns without a server's error, the job has concluded.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/thread_roles.h"
#include "cli/interrupt.h"
#include "control/qmp/qmp_client.h"
#include "nlohmann/json.hpp"

namespace penstock {

struct JobFacts {
  std::string id;
  std::string type;
  std::string status;
  uint64_t current = 0;
  uint64_t total = 0;
  std::string error;
};

JobFacts parse_job_facts(const nlohmann::json& job);
// Nothing if there is no such job.
absl::StatusOr<std::optional<JobFacts>> query_job(QmpClient& client,
                                                  const std::string& id) BLOCKING_CODE;

// A signal cancels the job. `on_look` is called at each look, the last one included; its false
// cancels, too.
absl::Status wait_for_job(QmpClient& client, const std::string& id, const Interrupt& interrupt,
                          const std::function<bool(const JobFacts&)>& on_look) BLOCKING_CODE;

}  // namespace penstock
