// SPDX-License-Identifier: Apache-2.0
// What blockdev-backup says.
//
// Ownership: values.
// Threads: pure.
// Errors: EINVAL and EOPNOTSUPP, naming the argument and what it takes.
// Invariants: names and defaults are the field's, but for the number of workers.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "block/job/job.h"
#include "block/job/job_error.h"
#include "nlohmann/json.hpp"

namespace penstock {

enum class BackupSync : uint8_t {
  kFull,
  kTop,   // what the top image of a chain has itself
  kNone,  // only what is about to be overwritten, until the job is cancelled
};

struct BackupOptions {
  JobOptions job;
  std::string device;  // the node whose contents are kept
  std::string target;  // the node that they are written to
  BackupSync sync = BackupSync::kFull;
  JobOnError on_source_error = JobOnError::kReport;
  JobOnError on_target_error = JobOnError::kReport;
  std::string on_cbw_error = "break-guest-write";
  std::string filter_node_name;  // empty: made up
  unsigned workers = 0;          // that copy at the same time
  uint64_t longest_copy = 0;     // bytes that one of them copies at a time
};

// `arguments` are such that the command's table of arguments admits.
absl::StatusOr<BackupOptions> read_backup_options(const nlohmann::json& arguments);

}  // namespace penstock
