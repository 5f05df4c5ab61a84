// SPDX-License-Identifier: Apache-2.0
// A monitor: speaks the QMP wire protocol to several clients of a Unix socket at once, or to one
// client over a connection that is there, or that it makes.
//
// Ownership: owns the socket and its file; co_stop() has returned before it is destroyed.
// Threads: the control thread; nothing here blocks it.
// Errors: EBUSY if another server listens at the path, EEXIST if the file there is no socket,
//   ENAMETOOLONG; else the system's, with the path. co_stop(): ETIMEDOUT names a command that does
//   not end, and then the process must end without taking down what that command uses.
// Invariants: at a path only the same user, and root, are served. The socket's file has mode 0600
//   and is removed by co_stop(); what a dead server left is replaced, a living one's never. Whoever
//   passed a descriptor, or is connected to, is trusted.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/thread_roles.h"
#include "control/qmp/qmp_dispatch.h"
#include "control/qmp/qmp_listener.h"
#include "control/qmp/qmp_session.h"

namespace penstock {

class Daemon;

// The daemon's commands and events.
QmpDispatch daemon_dispatch(Daemon& daemon);

class QmpServer {
 public:
  struct Limits {
    unsigned clients = 64;
    QmpSession::Limits session;
  };

  // Where the one client is that a server connects to.
  struct Peer {
    std::string path;
    Nanoseconds retry{0};  // from the end of a connection to the next try
  };

  // Serves the daemon's commands and events.
  static absl::StatusOr<std::unique_ptr<QmpServer>> co_start(
      Daemon& daemon, const std::string& path) CONTROL_COROUTINE_CODE;
  static absl::StatusOr<std::unique_ptr<QmpServer>> co_start(QmpDispatch dispatch,
                                                             const std::string& path,
                                                             Limits limits) CONTROL_COROUTINE_CODE;
  // Serves those who connect from now on, and those who wait in the backlog.
  static std::unique_ptr<QmpServer> start(QmpDispatch dispatch, QmpListener listener,
                                          Limits limits) GLOBAL_STATE_CODE;
  // Serves one client until it goes. `client` names it in log lines.
  static std::unique_ptr<QmpServer> start(QmpDispatch dispatch, UniqueFd connection,
                                          const std::string& client,
                                          Limits limits) GLOBAL_STATE_CODE;
  // Connects to the peer, serves it, and connects again.
  static std::unique_ptr<QmpServer> start(QmpDispatch dispatch, Peer peer,
                                          Limits limits) GLOBAL_STATE_CODE;
  QmpServer(const QmpServer&) = delete;
  QmpServer& operator=(const QmpServer&) = delete;
  ~QmpServer();

  // Takes no further client and no further command, waits for those that run, at most for `limit`
  // altogether, and disconnects everybody. A client that does not read its replies is not waited
  // for.
  absl::Status co_stop(Nanoseconds limit) CONTROL_COROUTINE_CODE;

 private:
  struct State;
  explicit QmpServer(std::shared_ptr<State> state) : state_(std::move(state)) {}

  const std::shared_ptr<State> state_;
};

}  // namespace penstock
