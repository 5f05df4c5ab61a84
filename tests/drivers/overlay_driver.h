// SPDX-License-Identifier: Apache-2.0
// "test-overlay": a format for tests, with a map of what it has and a backing child for the rest.
//
// Ownership: a node owns the driver; the edges belong to the node and outlive it.
// Threads: every I/O function anywhere at once; one lock for allocation.
// Errors: the children's.
// Invariants: the map is in memory only: what "file" held before is not there. A cluster is
//   allocated once its whole old content is in "file".
#pragma once

#include <atomic>
#include <vector>

#include "block/node/driver.h"
#include "iothreads/co_mutex.h"

namespace penstock {

class OverlayDriver final : public Driver, public MappedIo {
 public:
  static constexpr uint64_t kCluster = 4096;

  OverlayDriver(const Child& file, uint64_t size)
      : file_(file), size_(size), allocated_(size / kCluster + 1) {}

  MappedIo* mapped_io() override { return this; }

  bool is_allocated(uint64_t offset) const {
    return allocated_[offset / kCluster].load(std::memory_order_acquire);
  }
  uint64_t allocated_clusters() const;

 private:
  absl::StatusOr<Mapping> co_map(ByteRange range, MapIntent intent) override IO_CODE;
  // Fills the cluster from below, and has it from then on.
  absl::Status co_allocate(uint64_t cluster) IO_CODE;

  const Child& file_;
  const uint64_t size_;
  std::vector<std::atomic<bool>> allocated_;
  CoMutex mutex_;
};

// The driver of a "test-overlay" node.
OverlayDriver& overlay_of(const Node& node);

class OverlayDriverType final : public DriverType {
 public:
  std::string_view name() const override { return "test-overlay"; }
  bool has_file_child() const override { return true; }
  bool takes_child(std::string_view child_name) const override {
    return child_name == "file" || child_name == "backing";
  }
  absl::StatusOr<LoadedDriver> co_load(const LoadContext& context) const IO_CODE override;
};

}  // namespace penstock
