// SPDX-License-Identifier: Apache-2.0
// A fixture: a node in memory, mounted for real, served by two IoThreads of this process.
//
// Ownership: owns everything; what is still mounted at the end of a test is stopped.
// Threads: the test's thread is nobody's context. It uses the mount as any program would; no test
//   maps its pages, since a fault that waits for its own process could deadlock (fork for that).
// Errors: a machine where FUSE cannot be mounted skips the tests, saying why.
// Invariants: the driver's hooks are set before start(), and file_ before tree().
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/unique_fd.h"
#include "fuse/fuse_export.h"
#include "fuse/protocol.h"
#include "fuse/served_tree.h"
#include "iothreads/control_thread.h"
#include "iothreads/iothread.h"
#include "iothreads/run_sync.h"
#include "tests/block/memory_driver.h"
#include "tests/block/test_graph.h"
#include "tests/fuse/direct_mount_host.h"

namespace penstock {

class MountedTest : public ::testing::Test {
 protected:
  static constexpr uint64_t kSize = uint64_t{4} << 20;

  void SetUp() override {
    std::string why;
    if (!can_mount(&why)) GTEST_SKIP() << "cannot mount FUSE: " << why;
    std::string pattern = ::testing::TempDir() + "penstock-fuse-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
    options_.mount_point = directory_;
    file_.writable = true;
    control_ = *IoThread::start("control");
    scope_ = std::make_unique<ControlThreadScope>(control_->context());
    for (const char* name : {"io0", "io1"}) threads_.push_back(*IoThread::start(name));
    use_driver(kSize);
  }

  void TearDown() override {
    if (export_ != nullptr) {
      EXPECT_TRUE(stop().ok());
    }
    threads_.clear();
    tree_.reset();
    scope_.reset();
    control_.reset();
    if (!covered_file_.empty()) unlink(covered_file_.c_str());
    if (!directory_.empty()) rmdir(directory_.c_str());
  }

  // Replaces the node by a fresh one of `size` bytes. Before start().
  void use_driver(uint64_t size, Limits limits = {}) {
    auto driver = std::make_unique<MemoryDriver>(size, limits);
    driver_ = driver.get();
    node_ = &graph_.add_node("node" + std::to_string(size), std::move(driver), size, limits);
    backend_ = &graph_.add_backend(*node_);
  }

  // Mounts over a regular file instead of a directory. Before start().
  void cover_a_file() {
    covered_file_ = directory_ + "/image.raw";
    ASSERT_TRUE(UniqueFd(open(covered_file_.c_str(), O_RDWR | O_CREAT, 0600)).valid());
    options_.mount_point = covered_file_;
  }

  // The tree that start() serves: `file_` as "disk", or as the root where it covers a file.
  // Tests add to it before start(), or later on the control thread.
  ServedTree& tree() {
    if (tree_ == nullptr) {
      file_.backend = backend_;
      tree_ = covered_file_.empty() ? std::make_unique<ServedTree>()
                                    : std::make_unique<ServedTree>(file_);
      if (covered_file_.empty()) {
        on_control([this] {
          assert_control_thread();
          tree_->add_file(FUSE_ROOT_ID, "disk", file_);
        });
      }
    }
    return *tree_;
  }

  absl::Status try_start() {
    tree();
    return run_sync(control_->context(), [this] {
      assert_control_thread();
      assert_in_coroutine();
      std::vector<std::shared_ptr<AioContext>> contexts;
      for (const auto& thread : threads_) contexts.push_back(thread->share_context());
      auto started = FuseExport::co_start(*tree_, host_, options_, contexts);
      if (started.ok()) export_ = *std::move(started);
      return started.status();
    });
  }

  void start() {
    const absl::Status status = try_start();
    ASSERT_TRUE(status.ok()) << status_text(status);
  }

  absl::Status stop(Nanoseconds grace = std::chrono::seconds(5)) {
    return run_sync(control_->context(), [this, grace] {
      assert_control_thread();
      assert_in_coroutine();
      const absl::Status status = export_->co_stop(grace);
      export_.reset();
      return status;
    });
  }

  // Runs `function` in a coroutine of the control thread.
  void on_control(const std::function<void()>& function) {
    run_sync(control_->context(), function);
  }

  std::string path() const { return covered_file_.empty() ? directory_ + "/disk" : covered_file_; }

  UniqueFd open_file(int flags) {
    UniqueFd fd(open(path().c_str(), flags | O_CLOEXEC));
    EXPECT_TRUE(fd.valid()) << path() << ": " << strerror(errno);
    return fd;
  }

  // The errno of a call's result, 0 if it succeeded.
  static int error_of(long result) { return result < 0 ? errno : 0; }

  std::string directory_;
  std::string covered_file_;
  ExportOptions options_;
  ServedFile file_;  // its backend is set by tree()
  DirectMountHost host_;
  TestGraph graph_;
  MemoryDriver* driver_ = nullptr;
  Node* node_ = nullptr;
  Backend* backend_ = nullptr;
  std::unique_ptr<ServedTree> tree_;
  std::unique_ptr<IoThread> control_;
  std::unique_ptr<ControlThreadScope> scope_;
  std::vector<std::unique_ptr<IoThread>> threads_;
  std::unique_ptr<FuseExport> export_;
};

inline std::vector<std::byte> read_at(int fd, size_t length, uint64_t offset) {
  std::vector<std::byte> bytes(length);
  const ssize_t got = pread(fd, bytes.data(), length, static_cast<off_t>(offset));
  EXPECT_GE(got, 0) << strerror(errno);
  bytes.resize(got < 0 ? 0 : static_cast<size_t>(got));
  return bytes;
}

// Runs `function` in a child process and answers its exit status; for mappings, since a fault must
// not wait for its own process. The function makes system calls and touches memory, nothing else.
inline int run_in_child(const std::function<int()>& function) {
  const pid_t child = fork();
  if (child == 0) _exit(function());
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 254;
}

// `length` bytes that depend on `seed`.
inline std::vector<std::byte> pattern_bytes(size_t length, uint64_t seed) {
  std::vector<std::byte> bytes(length);
  uint64_t state = seed * 0x9e3779b97f4a7c15u + 1;
  for (std::byte& byte : bytes) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    byte = static_cast<std::byte>(state >> 56);
  }
  return bytes;
}

}  // namespace penstock
