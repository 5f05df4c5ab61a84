// SPDX-License-Identifier: Apache-2.0
// An open character device: where the clients of one monitor come from.
//
// Ownership: owns its socket and its socket's file, until a monitor takes both over.
// Threads: the control thread.
// Errors: those of listening and connecting, with the path.
// Invariants: nobody is served before start_monitor(). co_close() or start_monitor() comes before
//   the end.
#pragma once

#include <memory>
#include <string>
#include <variant>

#include "absl/status/statusor.h"
#include "base/thread_roles.h"
#include "control/options/chardev_options.h"
#include "control/qmp/qmp_server.h"
#include "control/qmp/stdio_bridge.h"
#include "iothreads/co_event.h"

namespace penstock {

class Daemon;

class Chardev {
 public:
  // Waits for the first client where the options ask for that, and gives up when `quit` is set.
  static absl::StatusOr<std::unique_ptr<Chardev>> co_open(const ChardevOptions& options,
                                                          CoEvent& quit) CONTROL_COROUTINE_CODE;
  Chardev(const Chardev&) = delete;
  Chardev& operator=(const Chardev&) = delete;
  ~Chardev();

  const std::string& id() const { return id_; }
  bool is_stdio() const { return bridge_ != nullptr; }
  // The file that clients find it by, as it was given; empty if there is none. Before
  // start_monitor().
  std::string socket_file() const;

  // Once for each.
  absl::Status claim_for_monitor(bool pretty);
  bool has_monitor() const { return has_monitor_; }
  // Serves the daemon's commands, if there is a monitor; else nullptr.
  std::unique_ptr<QmpServer> start_monitor(Daemon& daemon) GLOBAL_STATE_CODE;

  // The monitor has been stopped. Last words are written, a file that is still there is removed.
  void co_close() CONTROL_COROUTINE_CODE;

 private:
  explicit Chardev(const ChardevOptions& options) : id_(options.id) {}
  absl::Status open(const ChardevOptions& options) BLOCKING_CODE;
  void co_wait_for_client(const ChardevOptions& options, CoEvent& quit) CONTROL_COROUTINE_CODE;

  const std::string id_;
  std::variant<std::monostate, QmpListener, UniqueFd, QmpServer::Peer> source_;
  std::unique_ptr<StdioBridge> bridge_;
  bool has_monitor_ = false;
  bool pretty_ = false;
};

}  // namespace penstock
