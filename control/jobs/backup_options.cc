// SPDX-License-Identifier: Apache-2.0
#include "control/jobs/backup_options.h"

#include <cerrno>
#include <optional>
#include <utility>

#include "base/status.h"
#include "control/jobs/job_arguments.h"

namespace penstock {
namespace {

using Json = nlohmann::json;

constexpr int64_t kDefaultWorkers = 16;
constexpr int64_t kMostWorkers = 64;
constexpr int64_t kDefaultCopy = 1 << 20;
constexpr int64_t kSmallestCopy = 64 << 10;
constexpr int64_t kLargestCopy = 16 << 20;

absl::Status check_unsupported(const Json& arguments) {
  if (arguments.value("compress", false)) {
    return errno_message(EOPNOTSUPP,
                         "Parameter 'compress' must be false: writing compressed clusters is not"
                         " supported");
  }
  if (arguments.value("discard-source", false)) {
    return errno_message(EOPNOTSUPP, "Parameter 'discard-source' must be false");
  }
  for (const char* name : {"bitmap", "bitmap-mode"}) {
    if (!arguments.contains(name)) continue;
    return errno_message(EOPNOTSUPP, std::string("Parameter '") + name +
                                         "' is not supported: the backup has the whole disk");
  }
  return absl::OkStatus();
}

absl::StatusOr<BackupSync> read_sync(const std::string& word) {
  if (word == "full") return BackupSync::kFull;
  if (word == "top") return BackupSync::kTop;
  if (word == "none") return BackupSync::kNone;
  if (word == "incremental" || word == "bitmap") {
    return errno_message(EOPNOTSUPP, "'sync' cannot be '" + word +
                                         "': it needs a bitmap, which is not supported. It is"
                                         " 'full', 'top' or 'none'");
  }
  return errno_message(
      EINVAL, "Invalid parameter '" + word + "' for 'sync': it is 'full', 'top' or 'none'");
}

absl::StatusOr<JobOnError> read_on_error(const Json& arguments, const char* name) {
  const std::string word = arguments.value(name, "report");
  if (const std::optional<JobOnError> policy = parse_job_on_error(word)) return *policy;
  return errno_message(EINVAL, "Invalid parameter '" + word + "' for '" + name +
                                   "': it is 'report', 'ignore', 'stop', 'enospc' or 'auto'");
}

// A whole number of `name` in x-perf; 0 stands for the default.
absl::StatusOr<int64_t> read_perf(const Json& perf, const char* name, int64_t smallest,
                                  int64_t largest, int64_t usual) {
  const auto given = perf.find(name);
  if (given == perf.end()) return usual;
  if (!given->is_number_integer()) {
    return errno_message(
        EINVAL, std::string("Invalid parameter type for 'x-perf.") + name + "', expected: integer");
  }
  const int64_t number = given->get<int64_t>();
  if (number == 0) return usual;
  if (number < smallest || number > largest) {
    return errno_message(EINVAL, std::string("Parameter 'x-perf.") + name + "' takes " +
                                     std::to_string(smallest) + " to " + std::to_string(largest) +
                                     ", or 0 for the default");
  }
  return number;
}

absl::Status read_perf_options(const Json& perf, BackupOptions& options) {
  for (const auto& [name, value] : perf.items()) {
    if (name == "use-copy-range" && value == Json(false)) continue;
    if (name == "max-workers" || name == "max-chunk") continue;
    return errno_message(EINVAL, "Parameter 'x-perf' takes 'max-workers' and 'max-chunk'");
  }
  const absl::StatusOr<int64_t> workers =
      read_perf(perf, "max-workers", 1, kMostWorkers, kDefaultWorkers);
  if (!workers.ok()) return workers.status();
  const absl::StatusOr<int64_t> chunk =
      read_perf(perf, "max-chunk", kSmallestCopy, kLargestCopy, kDefaultCopy);
  if (!chunk.ok()) return chunk.status();
  options.workers = static_cast<unsigned>(*workers);
  options.longest_copy = static_cast<uint64_t>(*chunk);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<BackupOptions> read_backup_options(const Json& arguments) {
  if (absl::Status status = check_unsupported(arguments); !status.ok()) return status;
  BackupOptions options;
  absl::StatusOr<JobOptions> job = read_job_options(arguments);
  if (!job.ok()) return job.status();
  options.job = *std::move(job);
  options.device = arguments.at("device").get<std::string>();
  options.target = arguments.at("target").get<std::string>();
  const absl::StatusOr<BackupSync> sync = read_sync(arguments.at("sync").get<std::string>());
  if (!sync.ok()) return sync.status();
  options.sync = *sync;
  const absl::StatusOr<JobOnError> on_source = read_on_error(arguments, "on-source-error");
  if (!on_source.ok()) return on_source.status();
  options.on_source_error = *on_source;
  const absl::StatusOr<JobOnError> on_target = read_on_error(arguments, "on-target-error");
  if (!on_target.ok()) return on_target.status();
  options.on_target_error = *on_target;
  options.on_cbw_error = arguments.value("on-cbw-error", options.on_cbw_error);
  options.filter_node_name = arguments.value("filter-node-name", "");
  const absl::Status perf = read_perf_options(arguments.value("x-perf", Json::object()), options);
  if (!perf.ok()) return perf;
  return options;
}

}  // namespace penstock
