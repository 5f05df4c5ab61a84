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

// `verb` on the job that is named.
template <typename Verb>
absl::StatusOr<Json> on_job(Daemon& daemon, const Json& arguments, Verb verb) GLOBAL_STATE_CODE {
  const std::shared_ptr<Job> job = daemon.jobs.find(arguments.at("id").get<std::string>());
  if (job == nullptr) return errno_message(ENOENT, "Job not found");
  const absl::Status status = ((*job).*verb)();
  if (!status.ok()) return status;
  return Json::object();
}

absl::StatusOr<Json> co_pause(Daemon& daemon, const Json& arguments) CONTROL_COROUTINE_CODE {
  return on_job(daemon, arguments, &Job::pause);
}

absl::StatusOr<Json> co_resume(Daemon& daemon, const Json& arguments) CONTROL_COROUTINE_CODE {
  return on_job(daemon, arguments, &Job::resume);
}

absl::StatusOr<Json> co_cancel(Daemon& daemon, const Json& arguments) CONTROL_COROUTINE_CODE {
  return on_job(daemon, arguments, &Job::force_cancel);
}

absl::StatusOr<Json> co_complete(Daemon& daemon, const Json& arguments) CONTROL_COROUTINE_CODE {
  return on_job(daemon, arguments, &Job::complete);
}

absl::StatusOr<Json> co_finalize(Daemon& daemon, const Json& arguments) CONTROL_COROUTINE_CODE {
  return on_job(daemon, arguments, &Job::finalize);
}

absl::StatusOr<Json> co_dismiss(Daemon& daemon, const Json& arguments) CONTROL_COROUTINE_CODE {
  return on_job(daemon, arguments, &Job::dismiss);
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
      {"job-pause", "Pauses a job until job-resume.", kArguments, false, co_pause},
      {"job-resume", "Lets a job go on that was paused, or that an error has stopped.", kArguments,
       false, co_resume},
      {"job-cancel", "Ends a job early; events tell when it has ended.", kArguments, false,
       co_cancel},
      {"job-complete", "Ends a job that is ready.", kArguments, false, co_complete},
      {"job-finalize", "Lets a pending job take effect, and all of its group.", kArguments, false,
       co_finalize},
      {"job-dismiss", "Takes a concluded job off the list.", kArguments, false, co_dismiss},
  };
  return kCommands;
}

}  // namespace penstock
