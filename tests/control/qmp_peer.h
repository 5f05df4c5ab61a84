// SPDX-License-Identifier: Apache-2.0
// A client of the control socket that sends and sees every byte, for tests.
//
// Ownership: owns its end of the connection.
// Threads: the test's own thread; reading blocks, up to a limit that only a broken server reaches.
// Errors: the end of the connection reads as null.
// Invariants: none.
#pragma once

#include <sys/socket.h>
#include <sys/time.h>

#include <string>
#include <string_view>
#include <utility>

#include "base/unique_fd.h"
#include "nlohmann/json.hpp"

namespace penstock {

class QmpPeer {
 public:
  explicit QmpPeer(UniqueFd socket) : socket_(std::move(socket)) {
    const timeval limit = {.tv_sec = 60, .tv_usec = 0};
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  }

  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t count = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (count < 0) return false;
      bytes.remove_prefix(static_cast<size_t>(count));
    }
    return true;
  }
  void execute(const std::string& command, const nlohmann::json& arguments, int id) {
    send(nlohmann::json{{"execute", command}, {"arguments", arguments}, {"id", id}}.dump() + "\n");
  }

  // The next message. A line that is no JSON reads as discarded.
  nlohmann::json read() {
    for (;;) {
      const size_t end = received_.find("\r\n");
      if (end != std::string::npos) {
        nlohmann::json message =
            nlohmann::json::parse(received_.substr(0, end), nullptr, /*allow_exceptions=*/false);
        received_.erase(0, end + 2);
        return message;
      }
      if (!receive()) return nullptr;
    }
  }
  // Everything up to the end of the connection.
  std::string read_all() {
    while (receive()) {
    }
    return std::exchange(received_, "");
  }
  // The error's text; empty for another message.
  std::string read_error() {
    const nlohmann::json message = read();
    return message.contains("error") ? message["error"].value("desc", "") : "";
  }
  nlohmann::json negotiate() {
    nlohmann::json greeting = read();
    send(R"({"execute": "qmp_capabilities"})");
    return read().contains("return") ? greeting : nlohmann::json();
  }

  void stop_sending() { ::shutdown(socket_.get(), SHUT_WR); }
  void leave() { socket_.reset(); }

 private:
  bool receive() {
    std::string buffer(64 * 1024, '\0');
    const ssize_t count = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
    if (count <= 0) return false;
    received_.append(buffer, 0, static_cast<size_t>(count));
    return true;
  }

  UniqueFd socket_;
  std::string received_;
};

}  // namespace penstock
