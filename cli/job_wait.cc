// SPDX-License-Identifier: Apache-2.0
#include "cli/job_wait.h"

#include <cerrno>
#include <chrono>

#include "base/status.h"
#include "control/qmp/json_fields.h"

namespace penstock {
namespace {

constexpr std::chrono::milliseconds kBetweenLooks{200};

}  // namespace

JobFacts parse_job_facts(const nlohmann::json& job) {
  return {.id = text_field(job, "id"),
          .type = text_field(job, "type"),
          .status = text_field(job, "status"),
          .current = number_field(job, "current-progress"),
          .total = number_field(job, "total-progress"),
          .error = text_field(job, "error")};
}

absl::StatusOr<std::optional<JobFacts>> query_job(QmpClient& client, const std::string& id) {
  const auto jobs = client.execute("query-jobs", nlohmann::json::object());
  if (!jobs.ok()) return jobs.status();
  for (const nlohmann::json& job : *jobs) {
    if (text_field(job, "id") == id) return std::optional(parse_job_facts(job));
  }
  return std::optional<JobFacts>();
}

absl::Status wait_for_job(QmpClient& client, const std::string& id, const Interrupt& interrupt,
                          const std::function<bool(const JobFacts&)>& on_look) {
  bool cancelled = false;
  for (;;) {
    const absl::StatusOr<std::optional<JobFacts>> job = query_job(client, id);
    if (!job.ok()) return job.status();
    if (!*job) {
      return errno_message(ESRCH, "the job '" + id +
                                      "' was dismissed by somebody else, so that "
                                      "nothing is known about its end");
    }
    const bool go_on = on_look(**job);
    if ((*job)->status == "concluded") {
      if (cancelled) return errno_message(ECANCELED, "it was cancelled");
      if ((*job)->error.empty()) return absl::OkStatus();
      return errno_message(EIO, (*job)->error);
    }
    if (!cancelled && (!go_on || interrupt.came())) {
      // A job that concludes just now cannot be cancelled any more: then the next look tells.
      cancelled = client.execute("job-cancel", {{"id", id}}).ok();
    }
    const auto event = client.next_event_within(kBetweenLooks, cancelled ? -1 : interrupt.fd());
    if (!event.ok()) return event.status();
  }
}

}  // namespace penstock
