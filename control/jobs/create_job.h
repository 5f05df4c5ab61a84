// SPDX-License-Identifier: Apache-2.0
// Makes an image file: blockdev-create.
//
// Ownership: owns what it opens.
// Threads: the control thread; what may block runs on the thread pool.
// Errors: the job's result: EBUSY if somebody uses a file of that name; the exact errno with the
//   path else.
// Invariants: a file that was there and that nobody uses loses its contents, as with the field,
//   unless "exclusive", an option of our own, was given: then it is EEXIST. A job that fails or is
//   cancelled takes a file that it made away again.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "block/job/job.h"
#include "nlohmann/json.hpp"

namespace penstock {

class Daemon;

struct CreateOptions {
  enum class Preallocation : uint8_t { kOff, kFalloc, kFull };
  JobOptions job;
  std::string filename;
  uint64_t size = 0;  // bytes
  Preallocation preallocation = Preallocation::kOff;
  bool exclusive = false;  // only if nothing has the name
};

// `arguments` are such that the command's table of arguments admits.
absl::StatusOr<CreateOptions> read_create_options(const nlohmann::json& arguments);

class CreateJob final : public Job {
 public:
  CreateJob(Daemon& daemon, CreateOptions options);
  ~CreateJob() override;

  const char* type() const override { return "create"; }
  bool is_block_job() const override { return false; }
  JobProgress progress() const override GLOBAL_STATE_CODE { return progress_; }

 private:
  absl::Status co_run() override CONTROL_COROUTINE_CODE;
  void co_abort() override CONTROL_COROUTINE_CODE;
  void co_clean_up() override CONTROL_COROUTINE_CODE;
  absl::Status co_open() CONTROL_COROUTINE_CODE;
  absl::Status co_fill(JobPace::Worker& worker) CONTROL_COROUTINE_CODE;

  Daemon& daemon_;
  const CreateOptions options_;
  UniqueFd fd_;
  bool made_ = false;
  JobProgress progress_{0, 1};
};

}  // namespace penstock
