// SPDX-License-Identifier: Apache-2.0
#include <cerrno>
#include <memory>
#include <string>
#include <utility>

#include "base/status.h"
#include "control/daemon_state.h"
#include "control/jobs/job_arguments.h"
#include "control/qmp/job_commands.h"

namespace penstock {
namespace {

using Json = nlohmann::json;

// The name's argument is "device", or "id" for the two that came last.
absl::StatusOr<std::shared_ptr<Job>> named_job(Daemon& daemon,
                                               const Json& arguments) GLOBAL_STATE_CODE {
  const char* const name = arguments.contains("device") ? "device" : "id";
  const std::string id = arguments.at(name).get<std::string>();
  std::shared_ptr<Job> job = daemon.jobs.find(id);
  if (job == nullptr || !job->is_block_job()) {
    return qmp_error(ENOENT, "DeviceNotActive", "Block job '" + id + "' not found");
  }
  return job;
}

// `kVerb`, a member function of Job, on the job that is named.
template <auto kVerb>
absl::StatusOr<Json> co_on_job(Daemon& daemon, const Json& arguments) CONTROL_COROUTINE_CODE {
  const absl::StatusOr<std::shared_ptr<Job>> job = named_job(daemon, arguments);
  if (!job.ok()) return job.status();
  return nothing_or(((**job).*kVerb)());
}

absl::StatusOr<Json> co_cancel(Daemon& daemon, const Json& arguments) CONTROL_COROUTINE_CODE {
  const absl::StatusOr<std::shared_ptr<Job>> job = named_job(daemon, arguments);
  if (!job.ok()) return job.status();
  return nothing_or((*job)->cancel(arguments.value("force", false)));
}

absl::StatusOr<Json> co_set_speed(Daemon& daemon, const Json& arguments) CONTROL_COROUTINE_CODE {
  const absl::StatusOr<std::shared_ptr<Job>> job = named_job(daemon, arguments);
  if (!job.ok()) return job.status();
  const absl::StatusOr<uint64_t> speed = read_job_speed(arguments.at("speed"));
  if (!speed.ok()) return speed.status();
  return nothing_or((*job)->set_speed(*speed));
}

const char* io_status_name(JobIoStatus status) {
  switch (status) {
    case JobIoStatus::kOk:
      return "ok";
    case JobIoStatus::kFailed:
      return "failed";
    case JobIoStatus::kNoSpace:
      return "nospace";
  }
  return "ok";
}

Json facts_of(const Job& job) GLOBAL_STATE_CODE;
Json facts_of(const Job& job) {
  const JobProgress progress = job.progress();
  Json facts = {{"type", job.type()},
                {"device", job.id()},
                {"len", progress.total},
                {"offset", progress.current},
                {"busy", job.busy()},
                {"paused", job.paused()},
                {"speed", job.speed()},
                {"io-status", io_status_name(job.io_status())},
                {"ready", job.ready()},
                {"status", job_status_name(job.status())},
                {"auto-finalize", job.auto_finalize()},
                {"auto-dismiss", job.auto_dismiss()}};
  if (!job.result().ok()) facts["error"] = status_text(job.result());
  return facts;
}

absl::StatusOr<Json> co_query(Daemon& daemon, const Json& /*arguments*/) CONTROL_COROUTINE_CODE {
  Json result = Json::array();
  for (const std::shared_ptr<Job>& job : daemon.jobs.list()) {
    if (job->is_block_job()) result.push_back(facts_of(*job));
  }
  return result;
}

constexpr QmpArgument kDeviceArguments[] = {
    {"device", QmpType::kString, true, "the job"},
};
constexpr QmpArgument kIdArguments[] = {
    {"id", QmpType::kString, true, "the job"},
};
constexpr QmpArgument kCancelArguments[] = {
    {"device", QmpType::kString, true, "the job"},
    {"force", QmpType::kBool, false, "also if it is paused or ready; off"},
};
constexpr QmpArgument kSpeedArguments[] = {
    {"device", QmpType::kString, true, "the job"},
    {"speed", QmpType::kNumber, true, "bytes a second; 0 is no limit"},
};

}  // namespace

std::span<const QmpCommand> block_job_commands() {
  static const QmpCommand kCommands[] = {
      {"query-block-jobs", "Lists the jobs that work on nodes.", {}, false, co_query},
      {"block-job-set-speed", "Limits how fast a job works.", kSpeedArguments, false, co_set_speed},
      {"block-job-cancel", "As job-cancel; without 'force' a paused job is left alone.",
       kCancelArguments, false, co_cancel},
      {"block-job-pause", "As job-pause.", kDeviceArguments, false, co_on_job<&Job::pause>},
      {"block-job-resume", "As job-resume.", kDeviceArguments, false, co_on_job<&Job::resume>},
      {"block-job-complete", "As job-complete.", kDeviceArguments, false,
       co_on_job<&Job::complete>},
      {"block-job-finalize", "As job-finalize.", kIdArguments, false, co_on_job<&Job::finalize>},
      {"block-job-dismiss", "As job-dismiss.", kIdArguments, false, co_on_job<&Job::dismiss>},
  };
  return kCommands;
}

}  // namespace penstock
