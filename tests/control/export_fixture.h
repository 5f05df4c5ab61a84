// SPDX-License-Identifier: Apache-2.0
// A daemon that mounts for real, for tests of exports.
//
// Ownership: owns a folder with an image and mount points; all of it goes at the end.
// Threads: the test's own thread uses the mounts as any program would; functions block.
// Errors: a machine where FUSE cannot be mounted skips the tests, saying why.
// Invariants: none.
#pragma once

#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "control/local_host.h"
#include "iothreads/co_event.h"
#include "iothreads/thread_mutex.h"
#include "iothreads/thread_pool.h"
#include "tests/control/command_fixture.h"

namespace penstock {

class ExportFixture : public CommandFixture {
 protected:
  static constexpr size_t kSize = 1 << 20;

  void SetUp() override;
  void TearDown() override;

  // A node "n" on the image, of kSize bytes 'a'.
  void add_node(bool writable = false);
  // An export "e" of "n" at the directory, but for what `more` says.
  nlohmann::json export_arguments(const nlohmann::json& more = nlohmann::json::object()) const;
  void add_export(const nlohmann::json& more = nlohmann::json::object());
  void make_daemon(HostServices& host);
  absl::Status shut_down();

  // Waits until BLOCK_EXPORT_DELETED came.
  void wait_deleted();
  // What was seen at the moment of that event: who used the node "n".
  size_t users_at_event() const { return users_at_event_; }

  std::string path(const std::string& name) const { return folder_ + "/" + name; }
  std::string disk() const { return path("mnt/disk"); }
  static std::string first_bytes(const std::string& file, size_t count);
  bool is_mounted(const std::string& name) const;

  LocalHost local_host_{ThreadPool::shared()};
  std::string folder_;
  CoEvent deleted_;
  size_t users_at_event_ = 0;
};

}  // namespace penstock
