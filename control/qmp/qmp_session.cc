// SPDX-License-Identifier: Apache-2.0
#include "control/qmp/qmp_session.h"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <optional>
#include <utility>

#include "base/printable_text.h"
#include "base/status.h"
#include "control/log.h"
#include "control/qmp/qmp_command.h"
#include "control/qmp/qmp_version.h"
#include "iothreads/aio_context.h"
#include "iothreads/control_thread.h"

namespace penstock {
namespace {

constexpr size_t kReceiveSize = 16 * 1024;  // bytes
constexpr char kNegotiation[] = "qmp_capabilities";

absl::Status input_error(const std::string& text) {
  return errno_message(EINVAL, "QMP input " + text);
}

// What every message must be, whatever its command.
absl::Status check_message(const nlohmann::json& message) {
  for (const auto& [key, value] : message.items()) {
    if (key == "execute") {
      if (!value.is_string()) return input_error("member 'execute' must be a string");
    } else if (key == "arguments") {
      if (!value.is_object()) return input_error("member 'arguments' must be an object");
    } else if (key != "id") {
      return input_error("member '" + printable_text(key, kLongestQuote) + "' is unexpected");
    }
  }
  if (!message.contains("execute")) return input_error("lacks member 'execute'");
  return absl::OkStatus();
}

}  // namespace

QmpSession::QmpSession(UniqueFd socket, QmpDispatch dispatch, std::string client, Limits limits)
    : socket_(std::move(socket)),
      dispatch_(std::move(dispatch)),
      client_(std::move(client)),
      limits_(limits),
      input_(limits.input),
      output_(socket_.get(), limits.output, limits.pretty),
      buffer_(kReceiveSize, '\0') {}

void QmpSession::co_serve() {
  control_context().spawn("qmp writer", [self = shared_from_this()] {
    assert_in_coroutine();
    assert_control_thread();
    self->output_.co_write();
    self->writer_ended_.set();
  });
  output_.put_reply(
      {{"QMP", {{"version", qmp_version()}, {"capabilities", nlohmann::json::array()}}}});

  co_serve_messages();

  if (negotiated_) dispatch_.events->unsubscribe(subscription_);
  output_.co_wait_until_sent(limits_.patience);
  disconnect();
  writer_ended_.co_wait();
}

void QmpSession::co_serve_messages() {
  while (!finishing_) {
    const std::optional<absl::StatusOr<nlohmann::json>> item = input_.next();
    if (!item) {
      if (!co_receive()) return;
      continue;
    }
    if (item->ok()) {
      co_answer(**item);
    } else {
      output_.put_reply(qmp_error_reply(item->status()));
    }
    if (!output_.co_wait_for_room(limits_.patience)) {
      if (output_.is_open()) log_stalled();
      disconnect();
      return;
    }
    co_pause();  // one client with much to ask does not keep the others waiting
  }
}

void QmpSession::log_stalled() const {
  log_line(LogLevel::kWarning,
           "disconnected the control client " + client_ + ": it does not read its replies");
}

// False if the client has gone.
bool QmpSession::co_receive() {
  for (;;) {
    const ssize_t count = ::recv(socket_.get(), buffer_.data(), buffer_.size(), MSG_DONTWAIT);
    if (count > 0) {
      input_.feed({buffer_.data(), static_cast<size_t>(count)});
      return true;
    }
    if (count == 0 || (errno != EAGAIN && errno != EINTR)) return false;
    IoOperation readable;
    readable.opcode = IoOpcode::kPoll;
    readable.fd = socket_.get();
    readable.mode = POLLIN;
    if (co_perform(readable) < 0) return false;
  }
}

void QmpSession::co_answer(const nlohmann::json& message) {
  if (!message.is_object()) {
    output_.put_reply(qmp_error_reply(input_error("must be a JSON object")));
    return;
  }
  absl::StatusOr<nlohmann::json> result = co_execute(message);
  nlohmann::json reply = result.ok() ? nlohmann::json{{"return", std::move(*result)}}
                                     : qmp_error_reply(result.status());
  if (const auto id = message.find("id"); id != message.end()) reply["id"] = *id;
  output_.put_reply(reply);
  // From here on, and never before the reply.
  if (negotiated_ && subscription_ == 0) listen_to_events();
}

absl::StatusOr<nlohmann::json> QmpSession::co_execute(const nlohmann::json& message) {
  if (const absl::Status wellformed = check_message(message); !wellformed.ok()) return wellformed;
  const auto& name = message["execute"].get_ref<const std::string&>();
  if (!negotiated_ && name != kNegotiation) {
    return qmp_error(ENOENT, "CommandNotFound",
                     "Expecting capabilities negotiation with 'qmp_capabilities'");
  }
  if (negotiated_ && name == kNegotiation) {
    return qmp_error(ENOENT, "CommandNotFound",
                     "Capabilities negotiation is already complete, command ignored");
  }
  const auto arguments = message.find("arguments");
  absl::StatusOr<nlohmann::json> result =
      co_run(name, arguments != message.end() ? *arguments : nlohmann::json::object());
  if (result.ok() && name == kNegotiation) negotiated_ = true;
  return result;
}

absl::StatusOr<nlohmann::json> QmpSession::co_run(const std::string& name,
                                                  const nlohmann::json& arguments) {
  running_ = name;
  absl::StatusOr<nlohmann::json> result = dispatch_.co_run(name, arguments);
  running_.clear();
  return result;
}

void QmpSession::listen_to_events() {
  subscription_ = dispatch_.events->subscribe([this](const nlohmann::json& event) {
    assert_control_thread();
    output_.put_event(event);
  });
}

void QmpSession::finish() {
  finishing_ = true;
  ::shutdown(socket_.get(), SHUT_RD);
}

void QmpSession::disconnect() {
  finishing_ = true;
  output_.close();
  ::shutdown(socket_.get(), SHUT_RDWR);
}

}  // namespace penstock
