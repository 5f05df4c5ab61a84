// SPDX-License-Identifier: Apache-2.0
// The work of a backup job: workers that copy piece after piece.
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <utility>

#include "base/status.h"
#include "block/backend/backend_request.h"
#include "control/jobs/backup_job.h"
#include "drivers/copy_before_write/old_data_copy.h"
#include "iothreads/aio_context.h"
#include "iothreads/coroutine.h"

namespace penstock {
namespace {

// Before a piece is tried again, whose error is to be ignored.
constexpr Nanoseconds kBeforeRetry = std::chrono::milliseconds(100);
// How often a backup that only waits looks whether it still has something to wait for.
constexpr Nanoseconds kLookInterval = std::chrono::milliseconds(500);
// A slow job moves smaller pieces, about so many a second.
constexpr uint64_t kPiecesASecond = 8;

}  // namespace

absl::Status BackupJob::co_run() {
  // It keeps its name in messages when the other nodes have been moved below the filter.
  if (absl::Status named = co_attach(on_source_, options_.device, {0, kAllPermissions});
      !named.ok()) {
    return named;
  }
  if (options_.sync == BackupSync::kNone) return co_keep_until_cancelled();
  absl::Status status = co_copy_all();
  return status.ok() ? co_flush_target() : status;
}

absl::Status BackupJob::co_copy_all() {
  working_.store(options_.workers);
  for (unsigned i = 0; i < options_.workers; ++i) {
    uses_[i % uses_.size()].context()->spawn("backup", [this] {
      assert_in_coroutine();
      co_work();
      // The last of them wakes the job, which may be gone after that.
      if (working_.fetch_sub(1) == 1) all_ended_.set();
    });
  }
  all_ended_.co_wait();
  const ThreadLock lock(mutex_);
  return failure_;
}

// Guests' writes do all the copying.
absl::Status BackupJob::co_keep_until_cancelled() {
  JobPace::Worker worker(pace());
  while (worker.co_rest(kLookInterval)) {
    const CopyBeforeWriteDriver* const filter = open_filter();
    if (filter == nullptr) return failed_step({}, nullptr, {}).status;
    if (absl::Status broken = filter->broken(); !broken.ok()) return broken;
  }
  return absl::OkStatus();
}

absl::Status BackupJob::co_flush_target() {
  JobPace::Worker worker(pace());
  while (worker.co_pass(0)) {
    const Step step = co_flush_step();
    if (step.status.ok()) return absl::OkStatus();
    if (!co_again(worker, step)) break;
  }
  const ThreadLock lock(mutex_);
  return failure_;
}

void BackupJob::co_work() {
  JobPace::Worker worker(pace());
  std::optional<ByteRange> again;
  while (true) {
    const uint64_t longest = again ? again->length : piece();
    if (!worker.co_pass(longest)) return;
    const Step step = co_copy_step(again, longest);
    pace().refund(worker, longest - std::min(longest, step.moved));
    if (step.at_end) return;
    again.reset();
    if (step.status.ok()) continue;
    if (!co_again(worker, step)) return;
    again = step.range;
  }
}

BackupJob::Step BackupJob::co_copy_step(std::optional<ByteRange> again, uint64_t longest) {
  BackendRequest request(*backend_, "backup", again ? again->offset : 0, longest);
  if (!request.status().ok()) return failed_step(request.status(), nullptr, {});
  CopyBeforeWriteDriver* const filter = filter_of(request.root());
  if (filter == nullptr) return failed_step({}, nullptr, {});
  const std::optional<ByteRange> range = again ? again : take_next(*filter, longest);
  Step step;
  step.at_end = !range.has_value();
  if (step.at_end) return step;
  const absl::Status status = filter->co_copy(*range, &step.moved);
  if (status.ok()) return step;
  Step failed = failed_step(status, filter, *range);
  failed.moved = step.moved;
  return failed;
}

BackupJob::Step BackupJob::co_flush_step() {
  BackendRequest request(*backend_, "flush", 0, 0);
  if (!request.status().ok()) return failed_step(request.status(), nullptr, {});
  CopyBeforeWriteDriver* const filter = filter_of(request.root());
  if (filter == nullptr) return failed_step({}, nullptr, {});
  if (absl::Status broken = filter->broken(); !broken.ok()) return failed_step(broken, filter, {});
  const absl::Status status = filter->co_flush_target();
  if (status.ok()) return Step();
  Step failed = failed_step(status, filter, {});
  failed.is_read = false;
  return failed;
}

BackupJob::Step BackupJob::failed_step(const absl::Status& status,
                                       const CopyBeforeWriteDriver* filter, ByteRange range) const {
  Step step;
  step.range = range;
  if (filter == nullptr) {
    step.for_ever = true;
    step.status = status.ok()
                      ? errno_message(ENOENT, "The filter '" + filter_ + "' of the job was removed")
                      : status;
    return step;
  }
  step.status = status;
  step.for_ever = !filter->broken().ok();
  step.is_read = !failed_at_target(status);
  return step;
}

bool BackupJob::co_again(JobPace::Worker& worker, const Step& step) {
  JobErrorAction action = JobErrorAction::kReport;
  if (!step.for_ever) {
    const JobOnError policy = step.is_read ? options_.on_source_error : options_.on_target_error;
    action = co_failed(policy, step.is_read, step.status);
  }
  switch (action) {
    case JobErrorAction::kReport:
      fail_work(step.status);
      return false;
    case JobErrorAction::kIgnore:
      return worker.co_rest(kBeforeRetry);
    case JobErrorAction::kStop:
      return true;
  }
  return false;
}

std::optional<ByteRange> BackupJob::take_next(const CopyBeforeWriteDriver& filter,
                                              uint64_t longest) {
  const ThreadLock lock(mutex_);
  const std::optional<ByteRange> next = filter.next_uncopied(cursor_, longest);
  if (next) cursor_ = next->end();
  return next;
}

uint64_t BackupJob::piece() const {
  const uint64_t speed = this->speed();
  uint64_t longest = options_.longest_copy;
  if (speed != 0) longest = std::min(longest, speed / kPiecesASecond);
  return std::max(align_down(longest, granularity_), granularity_);
}

void BackupJob::fail_work(const absl::Status& status) {
  {
    const ThreadLock lock(mutex_);
    failure_.Update(status);
  }
  pace().stop();
}

CopyBeforeWriteDriver* BackupJob::filter_of(const Child& root) const {
  for (Node* node = root.node; node != nullptr;) {
    CopyBeforeWriteDriver* const driver = copy_before_write_of(*node);
    if (driver != nullptr && driver == identity_) return driver;
    const Child* const below = node->driver->is_filter() ? node->find_child("file") : nullptr;
    node = below == nullptr ? nullptr : below->node;
  }
  return nullptr;
}

}  // namespace penstock
