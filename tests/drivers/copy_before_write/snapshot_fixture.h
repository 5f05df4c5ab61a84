// SPDX-License-Identifier: Apache-2.0
// A disk under a copy-before-write filter, with faults filters above the files of both children.
//
// Ownership: owns the files and the world.
// Threads: the test's own thread; functions block.
// Errors: a step that must succeed fails the test.
// Invariants: nodes are called "cbw", "disk" and "target" (faults), "disk-file" and "target-file".
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/status.h"
#include "block/graph/drain.h"
#include "drivers/copy_before_write/copy_before_write_driver.h"
#include "drivers/faults/faults_controller.h"
#include "iothreads/control_thread.h"
#include "iothreads/run_sync.h"
#include "tests/drivers/driver_world.h"
#include "tests/drivers/test_files.h"

namespace penstock {

class SnapshotFixture : public testing::Test {
 protected:
  using Bytes = std::vector<std::byte>;
  using json = nlohmann::json;

  static constexpr uint64_t kCluster = 65536;
  static constexpr uint64_t kSize = 16 * kCluster + 1000;

  SnapshotFixture() { disk_file_.write(0, old_); }

  static json faults_above(const std::string& name, const TestFile& file) {
    return {
        {"driver", "faults"},
        {"node-name", name},
        {"file", {{"driver", "file"}, {"node-name", name + "-file"}, {"filename", file.path()}}}};
  }
  json options(json more = json::object()) const {
    more["driver"] = "copy-before-write";
    more["node-name"] = "cbw";
    more["file"] = faults_above("disk", disk_file_);
    more["target"] = faults_above("target", target_file_);
    return more;
  }
  // With one backend on the filter, which writes and resizes.
  void start(const json& more = json::object()) {
    backend_ = &world_.serve(options(more));
    learn_nodes();
  }
  void learn_nodes() {
    filter_ = copy_before_write_of(*world_.find("cbw"));
    ASSERT_NE(filter_, nullptr);
    disk_ = faults_controller(*world_.find("disk"));
    target_ = faults_controller(*world_.find("target"));
    disk_->start_counting();
    target_->start_counting();
  }

  absl::Status copy(ByteRange range, uint64_t* copied = nullptr) {
    return run_sync(world_.context(1), [&]() -> absl::Status {
      assert_in_coroutine();
      BackendRequest request(*backend_, "backup", range.offset, range.length);
      uint64_t moved = 0;
      const absl::Status status = filter_->co_copy(range, &moved);
      if (copied != nullptr) *copied = moved;
      return status;
    });
  }
  template <typename F>
  auto control(F&& function) {
    return run_sync(world_.context(0), [&] {
      assert_in_coroutine();
      const CoControlHop hop;
      return function();
    });
  }
  absl::Status drain(const std::string& node, Nanoseconds limit = kDefaultDrainLimit) {
    return run_sync(world_.context(0), [&]() -> absl::Status {
      assert_in_coroutine();
      DrainedSection section(world_.graph());
      const absl::Status status = section.co_begin({node}, limit);
      if (status.ok()) section.co_end();
      return status;
    });
  }

  void expect_ok(const absl::Status& status) { EXPECT_TRUE(status.ok()) << status_text(status); }
  // The target holds the old bytes of the clusters, and nothing elsewhere.
  void expect_copied(const std::vector<uint64_t>& clusters) {
    Bytes expected(kSize);
    for (const uint64_t cluster : clusters) {
      const ByteRange bytes = intersect({cluster * kCluster, kCluster}, {0, kSize});
      std::copy_n(old_.begin() + static_cast<ptrdiff_t>(bytes.offset), bytes.length,
                  expected.begin() + static_cast<ptrdiff_t>(bytes.offset));
    }
    EXPECT_EQ(target_file_.read(0, kSize), expected);
  }

  const Bytes old_ = pattern(kSize, 1);
  const TestFile disk_file_{"/dev/shm", kSize};
  const TestFile target_file_{"/dev/shm", kSize};
  DriverWorld world_{4};
  Backend* backend_ = nullptr;
  CopyBeforeWriteDriver* filter_ = nullptr;
  FaultsController* disk_ = nullptr;
  FaultsController* target_ = nullptr;
};

}  // namespace penstock
