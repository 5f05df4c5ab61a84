// SPDX-License-Identifier: Apache-2.0
#include "control/qmp/qmp_client.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/status.h"
#include "control/qmp/qmp_command.h"
#include "control/qmp/socket_file.h"

namespace penstock {
namespace {

// Larger than what a server answers; a message costs memory only when it comes.
constexpr JsonStream::Limits kLimits = {.message = size_t{256} << 20, .depth = 256};
constexpr size_t kReceiveSize = 64 * 1024;  // bytes
constexpr std::chrono::seconds kGreetingLimit{10};

std::string text_at(const nlohmann::json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

absl::Status error_of(const nlohmann::json& error) {
  const std::string text = text_at(error, "desc");
  return qmp_error(EIO, text_at(error, "class"), text.empty() ? "the server gave no reason" : text);
}

absl::Status has_ended(const std::string& path) {
  return errno_message(ESHUTDOWN, "the server at '" + path + "' has ended");
}

}  // namespace

QmpClient::QmpClient(UniqueFd socket, std::string path)
    : socket_(std::move(socket)), path_(std::move(path)), input_(kLimits) {}

absl::StatusOr<QmpClient> QmpClient::connect(const std::string& path, std::optional<uid_t> owner) {
  absl::StatusOr<UniqueFd> socket = connect_to_socket(path, kGreetingLimit);
  if (!socket.ok()) {
    const int error = status_errno(socket.status());
    if (error != ENOENT && error != ECONNREFUSED) return socket.status();
    return errno_message(error, "no server listens at '" + path +
                                    "': start one with 'penstock daemon --socket', or see "
                                    "'penstock ls'");
  }
  QmpClient client(*std::move(socket), path);
  if (const absl::Status known = client.identify(owner); !known.ok()) return known;
  if (const absl::Status ready = client.negotiate(); !ready.ok()) return ready;
  return client;
}

absl::Status QmpClient::identify(std::optional<uid_t> owner) {
  struct ucred peer = {};
  socklen_t size = sizeof peer;
  if (::getsockopt(socket_.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) {
    return errno_status(errno, "cannot tell whose server listens at '" + path_ + "'");
  }
  user_ = peer.uid;
  if (!owner || user_ == *owner) return absl::OkStatus();
  return errno_message(EACCES, "the server at '" + path_ + "' runs as user " +
                                   std::to_string(user_) + ", but its record is of user " +
                                   std::to_string(*owner) + ": it is not asked");
}

absl::Status QmpClient::negotiate() {
  const absl::Status limited = limit_waits(kGreetingLimit);
  if (!limited.ok()) return limited;
  const absl::StatusOr<nlohmann::json> greeting = receive();
  if (!greeting.ok()) return greeting.status();
  if (const auto refused = greeting->find("error"); refused != greeting->end()) {
    return error_of(*refused);
  }
  if (!greeting->contains("QMP")) {
    return errno_message(EPROTO, "what listens at '" + path_ + "' does not speak QMP");
  }
  const auto negotiated = execute("qmp_capabilities", nlohmann::json::object());
  return negotiated.ok() ? limit_waits(std::chrono::seconds(0)) : negotiated.status();
}

absl::Status QmpClient::limit_waits(std::chrono::seconds limit) {
  const struct timeval time = {.tv_sec = limit.count(), .tv_usec = 0};
  if (::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time) == 0) {
    return absl::OkStatus();
  }
  return errno_status(errno, "cannot set up the connection to the server at '" + path_ + "'");
}

absl::StatusOr<nlohmann::json> QmpClient::execute(const std::string& command,
                                                  const nlohmann::json& arguments) {
  const absl::Status sent = send({{"execute", command}, {"arguments", arguments}});
  if (!sent.ok()) return sent;
  for (;;) {
    absl::StatusOr<nlohmann::json> message = receive();
    if (!message.ok()) return message;
    if (const auto result = message->find("return"); result != message->end()) return *result;
    if (const auto error = message->find("error"); error != message->end()) return error_of(*error);
    if (message->contains("event")) events_.push_back(*std::move(message));
  }
}

absl::StatusOr<nlohmann::json> QmpClient::next_event() {
  while (events_.empty()) {
    absl::StatusOr<nlohmann::json> message = receive();
    if (!message.ok()) return message;
    if (message->contains("event")) events_.push_back(*std::move(message));
  }
  nlohmann::json event = std::move(events_.front());
  events_.pop_front();
  return event;
}

absl::StatusOr<std::optional<nlohmann::json>> QmpClient::next_event_within(
    std::chrono::milliseconds limit, int other_fd) {
  const auto end = std::chrono::steady_clock::now() + limit;
  for (;;) {
    if (!events_.empty()) return std::optional(*next_event());
    if (std::optional<absl::StatusOr<nlohmann::json>> message = input_.next()) {
      if (!message->ok()) return message->status();
      if ((*message)->is_object() && (*message)->contains("event")) events_.push_back(**message);
      continue;
    }
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
    pollfd waits[] = {{.fd = socket_.get(), .events = POLLIN, .revents = 0},
                      {.fd = other_fd, .events = POLLIN, .revents = 0}};
    const int ready =
        ::poll(waits, 2, static_cast<int>(std::clamp<int64_t>(left.count(), 0, 1 << 30)));
    if (ready < 0 && errno != EINTR) return errno_status(errno, "cannot wait for the server");
    if (ready > 0 && waits[0].revents != 0) {
      if (const absl::Status status = receive_some(); !status.ok()) return status;
      continue;
    }
    if (ready > 0 || std::chrono::steady_clock::now() >= end) {
      return std::optional<nlohmann::json>();
    }
  }
}

absl::Status QmpClient::send(const nlohmann::json& message) {
  std::string line;
  try {
    line = message.dump(-1, ' ', /*ensure_ascii=*/true, nlohmann::json::error_handler_t::strict);
  } catch (const nlohmann::json::exception&) {
    // A replaced letter would name another file.
    return errno_message(EILSEQ,
                         "the server cannot be told a name that is not UTF-8: use another one");
  }
  line += '\n';
  for (size_t sent = 0; sent < line.size();) {
    const ssize_t count =
        ::send(socket_.get(), line.data() + sent, line.size() - sent, MSG_NOSIGNAL);
    if (count >= 0) {
      sent += static_cast<size_t>(count);
    } else if (errno == EPIPE || errno == ECONNRESET) {
      return has_ended(path_);
    } else if (errno != EINTR) {
      return errno_status(errno, "cannot send to the server at '" + path_ + "'");
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<nlohmann::json> QmpClient::receive() {
  for (;;) {
    if (std::optional<absl::StatusOr<nlohmann::json>> message = input_.next()) {
      if (message->ok() && (*message)->is_object()) return **std::move(message);
      return errno_message(EPROTO, "what listens at '" + path_ + "' does not speak QMP");
    }
    if (const absl::Status status = receive_some(); !status.ok()) return status;
  }
}

absl::Status QmpClient::receive_some() {
  std::string buffer(kReceiveSize, '\0');
  for (;;) {
    const ssize_t count = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
    if (count > 0) {
      input_.feed({buffer.data(), static_cast<size_t>(count)});
      return absl::OkStatus();
    }
    if (count == 0 || errno == ECONNRESET) return has_ended(path_);
    if (errno == EAGAIN) {
      return errno_message(ETIMEDOUT, "the server at '" + path_ +
                                          "' does not answer: see whether it hangs, or end it");
    }
    if (errno != EINTR) {
      return errno_status(errno, "cannot read from the server at '" + path_ + "'");
    }
  }
}

}  // namespace penstock
