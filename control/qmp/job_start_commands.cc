// SPDX-License-Identifier: Apache-2.0
#include "control/qmp/job_start_commands.h"

#include <memory>
#include <utility>

#include "control/daemon_state.h"
#include "control/jobs/backup_job.h"
#include "control/jobs/create_job.h"

namespace penstock {
namespace {

using Json = nlohmann::json;

absl::StatusOr<Json> co_backup(Daemon& daemon, const Json& arguments) CONTROL_COROUTINE_CODE;
absl::StatusOr<Json> co_backup(Daemon& daemon, const Json& arguments) {
  absl::StatusOr<BackupOptions> options = read_backup_options(arguments);
  if (!options.ok()) return options.status();
  return nothing_or(co_start_backup(daemon, *std::move(options)));
}

absl::StatusOr<Json> co_create(Daemon& daemon, const Json& arguments) CONTROL_COROUTINE_CODE;
absl::StatusOr<Json> co_create(Daemon& daemon, const Json& arguments) {
  absl::StatusOr<CreateOptions> options = read_create_options(arguments);
  if (!options.ok()) return options.status();
  return nothing_or(daemon.jobs.start(std::make_shared<CreateJob>(daemon, *std::move(options))));
}

constexpr QmpArgument kBackupArguments[] = {
    {"job-id", QmpType::kString, false, "the job's name, required"},
    {"device", QmpType::kString, true, "the node to back up, as it is now"},
    {"target", QmpType::kString, true, "the node to write to, at least as long"},
    {"sync", QmpType::kString, true,
     "'full', 'top' what the top image has itself, 'none' only what is overwritten"},
    {"speed", QmpType::kNumber, false, "bytes a second (0, no limit)"},
    {"auto-finalize", QmpType::kBool, false, "end without job-finalize (true)"},
    {"auto-dismiss", QmpType::kBool, false, "go without job-dismiss (true)"},
    {"on-source-error", QmpType::kString, false,
     "'report', 'ignore' try again, 'stop' pause, 'enospc' (report)"},
    {"on-target-error", QmpType::kString, false, "the same (report)"},
    {"on-cbw-error", QmpType::kString, false,
     "what a copy that fails breaks: 'break-guest-write' or 'break-snapshot' (the first)"},
    {"filter-node-name", QmpType::kString, false, "the name of the filter above the device"},
    {"x-perf", QmpType::kObject, false, "{\"max-workers\": N, \"max-chunk\": BYTES}"},
    {"compress", QmpType::kBool, false, "false"},
    {"discard-source", QmpType::kBool, false, "false"},
    {"bitmap", QmpType::kString, false, "not supported"},
    {"bitmap-mode", QmpType::kString, false, "not supported"},
};
constexpr QmpArgument kCreateArguments[] = {
    {"job-id", QmpType::kString, true, "the job's name"},
    {"options", QmpType::kObject, true,
     "{\"driver\": \"file\", \"filename\": PATH, \"size\": BYTES, \"preallocation\": 'off',"
     " 'falloc' or 'full', \"exclusive\": true to fail if PATH is there}"},
};

constexpr QmpCommand kCommands[] = {
    {"blockdev-backup", "Starts to copy a node as it is now, while it is in use.", kBackupArguments,
     false, co_backup},
    {"blockdev-create", "Starts to make an image file; one that is there is emptied.",
     kCreateArguments, false, co_create},
};

}  // namespace

std::span<const QmpCommand> job_start_commands() { return kCommands; }

}  // namespace penstock
