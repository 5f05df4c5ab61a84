// SPDX-License-Identifier: Apache-2.0
// A daemon without a socket, for tests of commands.
//
// Ownership: owns the daemon, its control thread and the backends that a test attached.
// Threads: the test's own thread; functions block.
// Errors: those of the commands.
// Invariants: at the end nothing may be left that the daemon cannot take down by itself.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "block/backend/backend.h"
#include "control/daemon_state.h"
#include "gtest/gtest.h"
#include "iothreads/control_thread.h"
#include "iothreads/iothread.h"
#include "iothreads/run_sync.h"
#include "nlohmann/json.hpp"
#include "tests/drivers/driver_world.h"

namespace penstock {

class CommandFixture : public testing::Test {
 protected:
  CommandFixture();
  ~CommandFixture() override;

  // On the control thread, in a coroutine; the function asserts its roles itself.
  template <typename F>
  auto on_control(F&& function) {
    return run_sync(control_->context(), std::forward<F>(function));
  }

  // A command as a client gives it.
  absl::StatusOr<nlohmann::json> run(const std::string& command,
                                     const nlohmann::json& arguments = nlohmann::json::object());
  // One that has to succeed.
  nlohmann::json must(const std::string& command,
                      const nlohmann::json& arguments = nlohmann::json::object());
  // One that has to fail with this errno and these words, leaving the graph as it was.
  testing::AssertionResult refuses(const std::string& command, const nlohmann::json& arguments,
                                   int error_number, const std::vector<std::string>& words);

  // What query-named-block-nodes says of the node; null if there is none.
  nlohmann::json facts(const std::string& node);
  // Of all nodes, for comparisons.
  std::string picture();
  std::vector<std::string> node_names();

  Backend& attach(const std::string& name, const std::string& node, Permissions permissions);
  void detach(Backend& backend);

  TestHost host_;
  std::unique_ptr<IoThread> control_;
  std::unique_ptr<ControlThreadScope> control_scope_;
  std::unique_ptr<Daemon> daemon_;
  std::vector<std::unique_ptr<Backend>> backends_;
};

}  // namespace penstock
