// SPDX-License-Identifier: Apache-2.0
#include "control/qmp/job_commands.h"

#include <cerrno>
#include <memory>
#include <string>

#include "base/status.h"
#include "control/daemon_state.h"

namespace penstock {
namespace {

using Json = nlohmann::json;

// `kVerb`, a member function of Job, on the job that is named.
template <auto kVerb>
absl::StatusOr<Json> co_on_job(Daemon& daemon, const Json& arguments) CONTROL_COROUTINE_CODE {
  const std::shared_ptr<Job> job = daemon.jobs.find(arguments.at("id").get<std::string>());
  if (job == nullptr) return errno_message(ENOENT, "Job not found");
  return nothing_or(((*job).*kVerb)());
}

absl::StatusOr<Json> co_query(Daemon& daemon, const Json& /*arguments*/) CONTROL_COROUTINE_CODE {
  Json result = Json::array();
  for (const std::shared_ptr<Job>& job : daemon.jobs.list()) {
    const JobProgress progress = job->progress();
    Json facts = {{"id", job->id()},
                  {"type", job->type()},
                  {"status", job_status_name(job->status())},
                  {"current-progress", progress.current},
                  {"total-progress", progress.total}};
    if (!job->result().ok()) facts["error"] = status_text(job->result());
    result.push_back(std::move(facts));
  }
  return result;
}

constexpr QmpArgument kArguments[] = {
    {"id", QmpType::kString, true, "the job"},
};

}  // namespace

std::span<const QmpCommand> job_commands() {
  static const QmpCommand kCommands[] = {
      {"query-jobs", "Lists all jobs.", {}, false, co_query},
      {"job-pause", "Pauses a job until job-resume.", kArguments, false, co_on_job<&Job::pause>},
      {"job-resume", "Lets a job go on that was paused, or that an error has stopped.", kArguments,
       false, co_on_job<&Job::resume>},
      {"job-cancel", "Ends a job early; events tell when it has ended.", kArguments, false,
       co_on_job<&Job::force_cancel>},
      {"job-complete", "Ends a job that is ready.", kArguments, false, co_on_job<&Job::complete>},
      {"job-finalize", "Lets a pending job take effect, and all of its group.", kArguments, false,
       co_on_job<&Job::finalize>},
      {"job-dismiss", "Takes a concluded job off the list.", kArguments, false,
       co_on_job<&Job::dismiss>},
  };
  return kCommands;
}

}  // namespace penstock
