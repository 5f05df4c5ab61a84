// SPDX-License-Identifier: Apache-2.0
#include "control/jobs/job_arguments.h"

#include <cerrno>
#include <string>

#include "base/printable_text.h"
#include "base/status.h"
#include "control/qmp/object_commands.h"

namespace penstock {

absl::StatusOr<uint64_t> read_job_speed(const nlohmann::json& speed) {
  if (speed.is_number_unsigned() && speed.get<uint64_t>() <= INT64_MAX) {
    return speed.get<uint64_t>();
  }
  if (speed.is_number_integer() && speed.get<int64_t>() >= 0) return speed.get<uint64_t>();
  return errno_message(EINVAL, "Parameter 'speed' expects a non-negative value");
}

absl::StatusOr<JobOptions> read_job_options(const nlohmann::json& arguments) {
  JobOptions options;
  const auto id = arguments.find("job-id");
  if (id == arguments.end()) return errno_message(EINVAL, "An explicit job ID is required");
  options.id = id->get<std::string>();
  if (!check_object_id(options.id, "job-id").ok()) {
    return errno_message(EINVAL,
                         "Invalid job ID '" + printable_text(options.id, kLongestQuote) +
                             "': it starts with a letter; letters, digits, '-', '.', '_' follow");
  }
  if (const auto speed = arguments.find("speed"); speed != arguments.end()) {
    const absl::StatusOr<uint64_t> bytes = read_job_speed(*speed);
    if (!bytes.ok()) return bytes.status();
    options.speed = *bytes;
  }
  options.auto_finalize = arguments.value("auto-finalize", true);
  options.auto_dismiss = arguments.value("auto-dismiss", true);
  return options;
}

}  // namespace penstock
