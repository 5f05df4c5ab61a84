// SPDX-License-Identifier: Apache-2.0
// A graph of spies for tests: with real threads.
//
// Ownership: owns threads, graph and spies; declare requests' state before it.
// Threads: the functions of GraphFixture run on the test's thread and wait.
// Errors: as the functions of Graph.
// Invariants: the control thread is a thread of its own.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "block/backend/backend.h"
#include "block/graph/drain.h"
#include "block/graph/graph.h"
#include "gtest/gtest.h"
#include "iothreads/control_thread.h"
#include "iothreads/fake_world.h"
#include "iothreads/iothread.h"
#include "iothreads/run_sync.h"
#include "tests/block/graph/spy_driver.h"

namespace penstock {

inline constexpr Permissions kReader{kConsistentRead, kAllPermissions};
inline constexpr Permissions kWriter{kConsistentRead | kWrite | kWriteUnchanged, kAllPermissions};
inline constexpr Permissions kSoleWriter{kConsistentRead | kWrite | kWriteUnchanged,
                                         kConsistentRead | kWriteUnchanged};

// Options of a spy, writable.
NodeOptions spy_options(const std::string& name);
// Of a "spy-format" or "spy-filter" above a node that is there, or that is opened with it.
NodeOptions spy_above(const std::string& driver, const std::string& name, const std::string& file);
NodeOptions spy_above(const std::string& driver, const std::string& name, NodeOptions file);

// Coroutine functions that do one request through a backend and check nothing.
absl::Status co_write_block(Backend& backend, unsigned block, uint64_t value) COROUTINE_CODE;
absl::StatusOr<uint64_t> co_read_block(Backend& backend, unsigned block) COROUTINE_CODE;
absl::Status co_flush_all(Backend& backend) COROUTINE_CODE;

// No host is needed.
class NoHost : public HostServices {
 public:
  absl::StatusOr<UniqueFd> co_open(const std::string& path, int flags) override COROUTINE_CODE;
  absl::StatusOr<UniqueFd> co_open_resolved(const std::string& path,
                                            int flags) override COROUTINE_CODE;
  absl::StatusOr<UniqueFd> co_mount(const MountRequest& request) override COROUTINE_CODE;
  absl::Status co_unmount(const std::string& mount_point, bool lazy) override COROUTINE_CODE;
  absl::StatusOr<UniqueFd> co_clone_session(int session_fd) override COROUTINE_CODE;
};

class GraphFixture : public testing::Test {
 protected:
  explicit GraphFixture(unsigned io_threads = 2);
  ~GraphFixture() override;

  // On the control thread, in a coroutine; the function asserts its roles itself.
  template <typename F>
  auto on_control(F&& function) {
    return run_sync(control_->context(), std::forward<F>(function));
  }
  AioContext& io(unsigned index) { return io_threads_[index]->context(); }
  unsigned io_count() const { return static_cast<unsigned>(io_threads_.size()); }

  absl::Status open(const NodeOptions& options);
  absl::Status close(const std::string& name);
  absl::StatusOr<std::unique_ptr<Backend>> attach(const std::string& name, const std::string& node,
                                                  Permissions permissions);
  absl::Status detach(std::unique_ptr<Backend>& backend);
  absl::Status replace(const std::string& parent, const std::string& child,
                       const std::string& target);
  absl::Status insert_filter(const NodeOptions& options, const std::string& node);
  absl::Status remove_filter(const std::string& filter);
  // Node names and edges, for comparisons: "a a.file=b b <- backend".
  std::string picture();
  int quiesce_depth(Backend& backend);
  Permissions edge_permissions(const std::string& node, const std::string& child);

  SpyWorld spies_;
  DriverRegistry registry_;
  NoHost host_;
  std::unique_ptr<IoThread> control_;
  std::unique_ptr<ControlThreadScope> scope_;
  std::vector<std::unique_ptr<IoThread>> io_threads_;
  std::unique_ptr<Graph> graph_;
};

// Text of an error together with its errno, for expectations.
testing::AssertionResult fails_with(const absl::Status& status, int error_number,
                                    const std::vector<std::string>& texts);

#define ASSERT_OK(expression)                                              \
  do {                                                                     \
    const absl::Status status_of_it = (expression);                        \
    ASSERT_TRUE(status_of_it.ok()) << #expression << ": " << status_of_it; \
  } while (0)
#define EXPECT_OK(expression)                                              \
  do {                                                                     \
    const absl::Status status_of_it = (expression);                        \
    EXPECT_TRUE(status_of_it.ok()) << #expression << ": " << status_of_it; \
  } while (0)

}  // namespace penstock
