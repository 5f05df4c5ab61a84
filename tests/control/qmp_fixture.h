// SPDX-License-Identifier: Apache-2.0
// A control thread with a few commands of its own, for tests of the wire protocol.
//
// Commands: qmp_capabilities; echo answers its arguments; big answers a string of "size" bytes;
// wait sets `waiting` and waits for `go_on`; fail fails.
//
// Ownership: owns the thread, the events and all sessions that a test makes.
// Threads: the test's own thread; functions block.
// Errors: none.
// Invariants: no session is left when a test ends.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "base/status.h"
#include "control/event_hub.h"
#include "control/qmp/qmp_command.h"
#include "control/qmp/qmp_dispatch.h"
#include "control/qmp/qmp_session.h"
#include "gtest/gtest.h"
#include "iothreads/control_thread.h"
#include "tests/control/qmp_peer.h"
#include "tests/iothreads/test_threads.h"

namespace penstock {

class QmpFixture : public testing::Test {
 protected:
  QmpFixture() {
    dispatch_.events = &events_;
    dispatch_.co_run = [this](const std::string& name, const nlohmann::json& arguments) {
      assert_in_coroutine();
      return co_run(name, arguments);
    };
  }

  template <typename F>
  auto on_control(F&& function) {
    return run_sync(control_->context(), std::forward<F>(function));
  }
  void await(CoEvent& event) {
    on_control([&] {
      assert_in_coroutine();
      event.co_wait();
    });
  }
  void emit(const std::string& name, const nlohmann::json& data) {
    on_control([&] {
      assert_control_thread();
      events_.emit(name, data);
    });
  }

  absl::StatusOr<nlohmann::json> co_run(const std::string& name,
                                        const nlohmann::json& arguments) COROUTINE_CODE {
    if (name == "qmp_capabilities") return nlohmann::json::object();
    if (name == "echo") return arguments;
    if (name == "big") return std::string(arguments.value("size", size_t{0}), 'x');
    if (name == "fail") return errno_message(EBUSY, "it failed");
    if (name == "wait") {
      waiting_.set();
      go_on_.co_wait();
      return nlohmann::json::object();
    }
    return qmp_error(ENOENT, "CommandNotFound", "The command " + name + " has not been found");
  }

  std::unique_ptr<IoThread> control_ = start_iothread("control");
  ControlThreadScope scope_{control_->context()};
  EventHub events_;
  QmpDispatch dispatch_;
  CoEvent waiting_;
  CoEvent go_on_;
};

}  // namespace penstock
