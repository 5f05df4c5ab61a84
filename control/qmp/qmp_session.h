// SPDX-License-Identifier: Apache-2.0
// The conversation with one client of the control socket.
//
// Ownership: shared by the server and by the session's own coroutines; owns the connection.
// Threads: the control thread; nothing here blocks it.
// Errors: wrong input is answered, as QEMU answers it; a client that asks and does not listen is
//   disconnected with a log line.
// Invariants: commands of one client run in their order, one at a time, and each is answered once.
//   Before qmp_capabilities nothing else runs, and no events are sent.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "base/thread_roles.h"
#include "base/unique_fd.h"
#include "control/qmp/json_stream.h"
#include "control/qmp/qmp_dispatch.h"
#include "control/qmp/qmp_output.h"

namespace penstock {

class QmpSession : public std::enable_shared_from_this<QmpSession> {
 public:
  struct Limits {
    JsonStream::Limits input;
    size_t output = size_t{1} << 20;  // bytes
    // A client that has to read replies before it is served further, and takes nothing for so long,
    // is disconnected.
    Nanoseconds patience = std::chrono::seconds(30);
    bool pretty = false;  // messages over several lines, for people
  };

  // `socket` is a connected stream socket; `client` names the peer in log lines.
  QmpSession(UniqueFd socket, QmpDispatch dispatch, std::string client, Limits limits);
  QmpSession(UniqueFd socket, QmpDispatch dispatch, std::string client)
      : QmpSession(std::move(socket), std::move(dispatch), std::move(client), Limits()) {}

  // Greets and serves until the client goes, finish() or disconnect().
  void co_serve() CONTROL_COROUTINE_CODE;

  // Starts no further command. One that runs ends, and its reply goes out.
  void finish() GLOBAL_STATE_CODE;
  // Ends the conversation now; a command that runs goes on without anybody to hear of it.
  void disconnect() GLOBAL_STATE_CODE;
  // The name of the command that runs; empty if none does.
  const std::string& running_command() const { return running_; }

 private:
  void co_serve_messages() CONTROL_COROUTINE_CODE;
  bool co_receive() CONTROL_COROUTINE_CODE;
  void co_answer(const nlohmann::json& message) CONTROL_COROUTINE_CODE;
  absl::StatusOr<nlohmann::json> co_execute(const nlohmann::json& message) CONTROL_COROUTINE_CODE;
  absl::StatusOr<nlohmann::json> co_run(const std::string& name,
                                        const nlohmann::json& arguments) CONTROL_COROUTINE_CODE;
  void listen_to_events() GLOBAL_STATE_CODE;
  void log_stalled() const;

  const UniqueFd socket_;
  const QmpDispatch dispatch_;
  const std::string client_;
  const Limits limits_;
  JsonStream input_;
  QmpOutput output_;
  std::string buffer_;
  std::string running_;
  int subscription_ = 0;
  bool negotiated_ = false;
  bool finishing_ = false;
  CoEvent writer_ended_;
};

}  // namespace penstock
