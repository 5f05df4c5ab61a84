// SPDX-License-Identifier: Apache-2.0
#include "control/jobs/backup_action.h"

#include <utility>

#include "block/job/job_group.h"
#include "control/jobs/backup_job.h"

namespace penstock {
namespace {

class BackupAction final : public TransactionAction {
 public:
  explicit BackupAction(BackupOptions options) : options_(std::move(options)) {}

  absl::Status co_prepare(TransactionContext& transaction) override CONTROL_COROUTINE_CODE {
    absl::StatusOr<std::shared_ptr<BackupJob>> job =
        BackupJob::co_create(transaction.daemon, options_);
    if (!job.ok()) return job.status();
    job_ = *std::move(job);
    group_ = transaction.job_group;
    if (group_ == nullptr) group_ = std::make_shared<JobGroup>();
    if (transaction.grouped) transaction.job_group = group_;
    return absl::OkStatus();
  }
  std::string opened_node() const override { return job_->filter(); }
  void add_changes(std::vector<std::unique_ptr<GraphChange>>& changes,
                   const std::vector<std::string>& later) override GLOBAL_STATE_CODE {
    changes.push_back(job_->insertion(later));
  }
  void commit() noexcept override GLOBAL_STATE_CODE { group_->add(job_); }
  void co_abort(TransactionContext& /*transaction*/) override CONTROL_COROUTINE_CODE {
    job_->co_discard();
  }
  // Every action has joined by now.
  void co_clean_up(TransactionContext& /*transaction*/) override CONTROL_COROUTINE_CODE {
    group_->start();
  }

 private:
  const BackupOptions options_;
  std::shared_ptr<BackupJob> job_;
  std::shared_ptr<JobGroup> group_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<TransactionAction>> make_backup_action(const nlohmann::json& data) {
  absl::StatusOr<BackupOptions> options = read_backup_options(data);
  if (!options.ok()) return options.status();
  return std::make_unique<BackupAction>(*std::move(options));
}

}  // namespace penstock
