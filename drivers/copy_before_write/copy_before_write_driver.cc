// SPDX-License-Identifier: Apache-2.0
#include "drivers/copy_before_write/copy_before_write_driver.h"

#include <cerrno>
#include <string>
#include <utility>

#include "base/status.h"
#include "block/io/child_io.h"
#include "block/io/node_entry.h"
#include "block/node/node.h"
#include "drivers/copy_before_write/old_data_copy.h"
#include "iothreads/aio_context.h"
#include "iothreads/control_thread.h"

namespace penstock {
namespace {

// What a request says about itself; the rest of its flags is between a node and its choke point.
constexpr RequestFlags kPassedFlags = kFua | kMayUnmap | kNoFallback;

// A copy that shares no memory: absl counts references out of sight of the race detector.
absl::Status told_to_another_thread(const absl::Status& status) {
  return status.ok() ? status : errno_message(status_errno(status), status_text(status));
}

// The stay in the node of a copy that its request may leave behind: drains wait for it, and name
// it.
class SCOPED_CAPABILITY CopierEntry {
 public:
  CopierEntry(Node& node, ByteRange range) ACQUIRES(in_flight_role) NO_THREAD_SAFETY_ANALYSIS
      : entry_(node),
        tag_(Coroutine::self()->tag()) {
    tag_.offset.store(range.offset, std::memory_order_relaxed);
    tag_.length.store(range.length, std::memory_order_relaxed);
    tag_.operation.store("copy before write", std::memory_order_relaxed);
    tag_.gate.store(&node, std::memory_order_relaxed);
  }
  CopierEntry(const CopierEntry&) = delete;
  CopierEntry& operator=(const CopierEntry&) = delete;
  ~CopierEntry() RELEASES() NO_THREAD_SAFETY_ANALYSIS {
    tag_.gate.store(nullptr, std::memory_order_relaxed);
    tag_.operation.store(nullptr, std::memory_order_relaxed);
  }

 private:
  const NodeEntry entry_;
  RequestTag& tag_;
};

}  // namespace

absl::Status CopyBeforeWriteDriver::co_copy(ByteRange range, uint64_t* copied_bytes) {
  const NodeEntry entry(*file_.parent);
  uint64_t moved = 0;
  const absl::Status status = co_copy_all(range, std::nullopt, &moved);
  *copied_bytes = moved;
  return status;
}

absl::Status CopyBeforeWriteDriver::co_flush_target() {
  const NodeEntry entry(*file_.parent);
  return penstock::co_flush(target_);
}

absl::Status CopyBeforeWriteDriver::broken() const {
  if (!is_broken_.load(std::memory_order_acquire)) return absl::OkStatus();
  const ThreadLock lock(mutex_);
  return broken_;
}

void CopyBeforeWriteDriver::abandon(const absl::Status& why) {
  const ThreadLock lock(mutex_);
  if (!broken_.ok()) return;
  broken_ = why;
  // Before the first guest's write that relies on it.
  is_broken_.store(true, std::memory_order_release);
}

Resizable* CopyBeforeWriteDriver::resizable() {
  return file_.node->driver->resizable() != nullptr ? this : nullptr;
}

bool CopyBeforeWriteDriver::grows_by_writing() const {
  const Resizable* below = file_.node->driver->resizable();
  return below != nullptr && below->grows_by_writing();
}

absl::Status CopyBeforeWriteDriver::co_readv(uint64_t offset, const IoVector& data,
                                             RequestFlags flags) {
  return co_preadv(file_, offset, data, flags & kPassedFlags);
}

absl::Status CopyBeforeWriteDriver::co_writev(uint64_t offset, const IoVector& data,
                                              RequestFlags flags) {
  if (auto status = co_save({offset, data.length()}); !status.ok()) return status;
  return co_pwritev(file_, offset, data, flags & kPassedFlags);
}

absl::Status CopyBeforeWriteDriver::co_flush() { return penstock::co_flush(file_); }

absl::Status CopyBeforeWriteDriver::co_write_zeroes(ByteRange range, RequestFlags flags) {
  if (auto status = co_save(range); !status.ok()) return status;
  return penstock::co_write_zeroes(file_, range, flags & kPassedFlags);
}

absl::Status CopyBeforeWriteDriver::co_discard(ByteRange range) {
  if (auto status = co_save(range); !status.ok()) return status;
  return penstock::co_discard(file_, range);
}

absl::Status CopyBeforeWriteDriver::co_resize(uint64_t size) {
  if (size < clusters_.size()) {
    if (auto status = co_save({size, clusters_.size() - size}); !status.ok()) return status;
  }
  return penstock::co_resize(file_, size);
}

absl::Status CopyBeforeWriteDriver::co_save_slowly(ByteRange range) {
  std::optional<Nanoseconds> deadline;
  if (timeout_.count() != 0) deadline = AioContext::current()->now() + timeout_;
  uint64_t moved = 0;
  const absl::Status status = co_copy_all(range, deadline, &moved);
  if (status.ok()) return status;
  if (on_error_ == OnError::kBreakSnapshot) abandon(status);
  if (is_broken_.load(std::memory_order_acquire)) return absl::OkStatus();
  return annotate(status, "copying the old data to node '" + target_.node->name + "' first");
}

absl::Status CopyBeforeWriteDriver::co_copy_all(ByteRange range,
                                                std::optional<Nanoseconds> deadline,
                                                uint64_t* moved) {
  while (true) {
    if (auto status = broken(); !status.ok()) return status;
    const CopiedClusters::Turn turn = clusters_.claim_first(range, kLongestCopy);
    if (turn.claim == nullptr) return absl::OkStatus();
    CopiedClusters::Claim& claim = *turn.claim;
    if (turn.mine) {
      auto status = deadline ? co_run_claim_until(turn.claim, *deadline) : co_run_claim(claim);
      if (!status.ok()) return status;
      *moved += claim.moved;
    } else if (!deadline) {
      claim.ended.co_wait();
    } else if (!claim.ended.co_wait_until(*deadline)) {
      return timed_out();
    }
  }
}

absl::Status CopyBeforeWriteDriver::co_run_claim(CopiedClusters::Claim& claim) {
  const OldDataCopy copy{file_, target_, clusters_.granularity(),
                         skip_unallocated_.load(std::memory_order_relaxed)};
  absl::Status outcome = copy.co_run(claim.range, claim.moved);
  // Since it broke guests write without waiting: what was read may be new.
  if (outcome.ok()) outcome = broken();
  claim.outcome = told_to_another_thread(outcome);
  clusters_.finish(claim);
  return outcome;
}

absl::Status CopyBeforeWriteDriver::co_run_claim_until(
    const std::shared_ptr<CopiedClusters::Claim>& claim, Nanoseconds deadline) {
  // The thread of this request may end before the copy does; that of control stays.
  control_context().spawn("copy before write", [this, claim] {
    assert_in_coroutine();
    const CopierEntry entry(*file_.parent, claim->range);
    claim->begun.set();
    (void)co_run_claim(*claim);
  });
  // Before this request may end: what it started is then counted in flight by itself.
  claim->begun.co_wait();
  if (!claim->ended.co_wait_until(deadline)) return timed_out();
  return told_to_another_thread(claim->outcome);
}

absl::Status CopyBeforeWriteDriver::timed_out() const {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(timeout_).count();
  return errno_message(ETIMEDOUT, "the copy was not done within " + std::to_string(seconds) +
                                      " s (\"cbw-timeout\")");
}

// What was copied, and what is still to be, are of one file.
absl::StatusOr<Reopened> CopyBeforeWriteDriver::co_prepare_reopen(const ReopenContext& context) {
  if (absl::Status status = refuse_other_storage(context); !status.ok()) return status;
  return Driver::co_prepare_reopen(context);
}

Permissions CopyBeforeWriteDriver::child_permissions(const Child& child,
                                                     const Permissions& parents) const {
  if (&child == &target_) return {kWrite | kWriteUnchanged, kConsistentRead};
  // Without users it promises nothing, and must let those of the file be until they are moved here.
  if (parents.taken == 0) return parents;
  return {parents.taken | kConsistentRead, parents.shared & ~(kWrite | kResize)};
}

absl::Status CopyBeforeWriteDriver::co_prepare_permissions(const Permissions& permissions) {
  prepared_ = permissions;
  return absl::OkStatus();
}

void CopyBeforeWriteDriver::commit_permissions() {
  const bool begins = !in_use_ && prepared_.taken != 0;
  in_use_ = prepared_.taken != 0;
  if (!begins) return;
  if (was_used_) {
    abandon(errno_message(ESTALE,
                          "the snapshot ended when its node '" + file_.parent->name +
                              "' had no users any more; others may have written since. Make a new "
                              "one"));
  } else if (file_.node->size() != clusters_.size()) {
    abandon(errno_message(EAGAIN, "node '" + file_.node->name + "' changed its size from " +
                                      std::to_string(clusters_.size()) + " to " +
                                      std::to_string(file_.node->size()) +
                                      " bytes while the snapshot of it began. Begin anew"));
  }
  was_used_ = true;
}

nlohmann::json CopyBeforeWriteDriver::describe() const {
  nlohmann::json facts{
      {"on-cbw-error",
       on_error_ == OnError::kBreakSnapshot ? "break-snapshot" : "break-guest-write"},
      {"cbw-timeout", std::chrono::duration_cast<std::chrono::seconds>(timeout_).count()},
      {"granularity", granularity()},
      {"remaining", remaining_bytes()}};
  if (const absl::Status status = broken(); !status.ok()) facts["broken"] = status_text(status);
  return facts;
}

CopyBeforeWriteDriver* copy_before_write_of(Node& node) {
  if (node.driver_name != "copy-before-write" || node.driver == nullptr) return nullptr;
  return static_cast<CopyBeforeWriteDriver*>(node.driver.get());
}

}  // namespace penstock
