// SPDX-License-Identifier: Apache-2.0
// "copy-before-write": a filter that keeps a snapshot of its "file" in its "target".
//
// Before a change of the file reaches it, the old data of the clusters that it touches is copied to
// the target, once. Who copies the rest too (a backup job, by co_copy()) has in the target what the
// file held when the filter got its first user.
//
// Ownership: a node owns the driver; the children's edges belong to the node and outlive it.
// Threads: every I/O function anywhere at once; progress and broken() from any thread.
// Errors: the file's. What fails in copying fails the guest's write ("break-guest-write"), or ends
//   the snapshot and lets the guest write ("break-snapshot").
// Invariants: no byte of the snapshot's size changes in the file before its cluster is copied, or
//   the snapshot is broken. A broken snapshot stays broken; nothing is copied for it. Reads, and
//   writes to copied clusters, take no lock here.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>

#include "block/node/driver.h"
#include "drivers/copy_before_write/copied_clusters.h"
#include "iothreads/poller.h"
#include "iothreads/thread_mutex.h"

namespace penstock {

class CopyBeforeWriteDriver final : public Driver, public DirectIo, public Resizable {
 public:
  enum class OnError : uint8_t { kBreakGuestWrite, kBreakSnapshot };
  struct Settings {
    OnError on_error = OnError::kBreakGuestWrite;
    Nanoseconds timeout{0};    // longest that a guest's write waits for copying; 0: no limit
    uint64_t size = 0;         // bytes of the file
    uint64_t granularity = 0;  // bytes of a cluster
  };

  CopyBeforeWriteDriver(const Child& file, const Child& target, const Settings& settings)
      : file_(file),
        target_(target),
        on_error_(settings.on_error),
        timeout_(settings.timeout),
        clusters_(settings.size, settings.granularity) {}

  // For who copies the rest. The caller is in flight in a gate above this node.

  // Copies what is not copied yet of the clusters that `range` touches (bytes; cut off at the
  // snapshot's end), and waits for what others are copying. `copied_bytes`: data that this call
  // moved, not counting zeroes. An error leaves the cluster to be copied again; it is the broken
  // status once the snapshot is broken.
  absl::Status co_copy(ByteRange range, uint64_t* copied_bytes) IO_CODE;
  // Makes what was copied durable.
  absl::Status co_flush_target() IO_CODE;
  // The first clusters from `offset` on that are not copied, at most `longest` bytes but at least
  // one cluster; whole clusters, but for the end of the snapshot.
  std::optional<ByteRange> next_uncopied(uint64_t offset, uint64_t longest) const {
    return clusters_.next_uncopied(offset, longest);
  }
  // Bytes.
  uint64_t granularity() const { return clusters_.granularity(); }
  uint64_t snapshot_size() const { return clusters_.size(); }
  uint64_t remaining_bytes() const { return clusters_.remaining_bytes(); }
  // OK, or why the target will never hold the snapshot.
  absl::Status broken() const;
  // The snapshot is not wanted any more: guests' writes copy nothing from here on, and broken()
  // answers `why`, an error.
  void abandon(const absl::Status& why);
  // From here on what the top image does not decide itself (it shows through from its backing
  // image) counts as copied without being copied.
  void set_skip_unallocated(bool skip) { skip_unallocated_.store(skip, std::memory_order_relaxed); }

  DirectIo* direct_io() override { return this; }
  Resizable* resizable() override;
  bool is_filter() const override { return true; }
  bool grows_by_writing() const override;
  absl::StatusOr<Reopened> co_prepare_reopen(const ReopenContext& context) override
      CONTROL_COROUTINE_CODE;
  Permissions child_permissions(const Child& child,
                                const Permissions& parents) const override GLOBAL_STATE_CODE;
  absl::Status co_prepare_permissions(const Permissions& permissions) override
      CONTROL_COROUTINE_CODE;
  void commit_permissions() override GLOBAL_STATE_CODE;
  nlohmann::json describe() const override;

 private:
  absl::Status co_readv(uint64_t offset, const IoVector& data, RequestFlags flags) IO_CODE override;
  absl::Status co_writev(uint64_t offset, const IoVector& data,
                         RequestFlags flags) IO_CODE override;
  absl::Status co_flush() IO_CODE override;
  absl::Status co_write_zeroes(ByteRange range, RequestFlags flags) IO_CODE override;
  absl::Status co_discard(ByteRange range) IO_CODE override;
  absl::Status co_resize(uint64_t size) IO_CODE override;

  // What must have happened before `range` of the file changes.
  absl::Status co_save(ByteRange range) IO_CODE {
    if (clusters_.all_copied(range)) [[likely]]
      return absl::OkStatus();
    return co_save_slowly(range);
  }
  absl::Status co_save_slowly(ByteRange range) IO_CODE;
  absl::Status co_copy_all(ByteRange range, std::optional<Nanoseconds> deadline,
                           uint64_t* moved) IO_CODE;
  absl::Status co_run_claim(CopiedClusters::Claim& claim) IO_CODE;
  absl::Status co_run_claim_until(const std::shared_ptr<CopiedClusters::Claim>& claim,
                                  Nanoseconds deadline) IO_CODE;
  absl::Status timed_out() const;

  const Child& file_;
  const Child& target_;
  const OnError on_error_;
  const Nanoseconds timeout_;
  CopiedClusters clusters_;
  std::atomic<bool> skip_unallocated_{false};

  std::atomic<bool> is_broken_{false};
  mutable ThreadMutex mutex_{"CopyBeforeWriteDriver"};
  absl::Status broken_ GUARDED_BY(mutex_);

  // The control thread's.
  Permissions prepared_;
  bool in_use_ = false;
  bool was_used_ = false;
};

// The driver of a copy-before-write node; nullptr for a node of another driver.
CopyBeforeWriteDriver* copy_before_write_of(Node& node);

class CopyBeforeWriteDriverType final : public DriverType {
 public:
  std::string_view name() const override { return "copy-before-write"; }
  bool has_file_child() const override { return true; }
  bool takes_child(std::string_view child_name) const override {
    return child_name == "file" || child_name == "target";
  }
  ChildRole role_of(std::string_view child_name) const override;
  absl::StatusOr<LoadedDriver> co_load(const LoadContext& context) const IO_CODE override;
};

}  // namespace penstock
