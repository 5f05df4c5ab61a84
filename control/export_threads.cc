// SPDX-License-Identifier: Apache-2.0
#include "control/export_threads.h"

#include <utility>

namespace penstock {
namespace {

using SharedUse = std::shared_ptr<IoThreadRegistry::Use>;

std::vector<std::shared_ptr<AioContext>> contexts_of(const std::vector<SharedUse>& uses) {
  std::vector<std::shared_ptr<AioContext>> result;
  for (const SharedUse& use : uses) result.emplace_back(use, use->context().get());
  return result;
}

}  // namespace

absl::Status ExportThreads::co_take(const std::vector<std::string>& ids) {
  absl::StatusOr<Uses> uses = co_find(ids);
  if (!uses.ok()) return uses.status();
  uses_ = *std::move(uses);
  return absl::OkStatus();
}

std::vector<std::string> ExportThreads::ids() const {
  std::vector<std::string> result;
  for (const SharedUse& use : uses_) result.push_back(use->id());
  return result;
}

std::vector<std::shared_ptr<AioContext>> ExportThreads::contexts() const {
  return contexts_of(uses_);
}

absl::Status ExportThreads::co_move(FuseExport& fuse, const std::vector<std::string>& ids) {
  absl::StatusOr<Uses> uses = co_find(ids);
  if (!uses.ok()) return uses.status();
  const absl::Status status = fuse.co_set_queues(contexts_of(*uses));
  if (status.ok()) uses_ = *std::move(uses);
  return status;
}

absl::StatusOr<ExportThreads::Uses> ExportThreads::co_find(const std::vector<std::string>& ids) {
  if (ids.empty()) return co_find_defaults();
  Uses result;
  for (const std::string& id : ids) {
    SharedUse use = own_use(id);
    if (use == nullptr) {
      absl::StatusOr<IoThreadRegistry::Use> taken = registry_.use(id, user_);
      if (!taken.ok()) return taken.status();
      use = std::make_shared<IoThreadRegistry::Use>(*std::move(taken));
    }
    result.push_back(std::move(use));
  }
  return result;
}

absl::StatusOr<ExportThreads::Uses> ExportThreads::co_find_defaults() {
  absl::StatusOr<std::vector<IoThreadRegistry::Use>> taken = registry_.co_use_defaults(user_);
  if (!taken.ok()) return taken.status();
  Uses result;
  for (IoThreadRegistry::Use& each : *taken) {
    SharedUse use = own_use(each.id());
    if (use == nullptr) use = std::make_shared<IoThreadRegistry::Use>(std::move(each));
    result.push_back(std::move(use));
  }
  return result;
}

SharedUse ExportThreads::own_use(const std::string& id) const {
  for (const SharedUse& use : uses_) {
    if (use->id() == id) return use;
  }
  return nullptr;
}

}  // namespace penstock
