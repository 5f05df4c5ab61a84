// SPDX-License-Identifier: Apache-2.0
#include "control/chardev.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <utility>

#include "base/status.h"
#include "control/log.h"
#include "control/qmp/socket_file.h"
#include "iothreads/aio_context.h"
#include "iothreads/thread_pool.h"

namespace penstock {
namespace {

constexpr std::chrono::seconds kConnectLimit{5};
// Between two looks for the first client.
constexpr std::chrono::milliseconds kClientInterval{20};

absl::StatusOr<UniqueFd> adopt_connection(int fd) {
  sockaddr_storage peer;
  socklen_t size = sizeof(peer);
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &size) != 0) {
    return errno_message(EINVAL, "descriptor " + std::to_string(fd) +
                                     " is no connected socket: pass one, or use 'path'");
  }
  ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  return UniqueFd(fd);
}

}  // namespace

Chardev::~Chardev() = default;

absl::StatusOr<std::unique_ptr<Chardev>> Chardev::co_open(const ChardevOptions& options,
                                                          CoEvent& quit) {
  std::unique_ptr<Chardev> chardev(new Chardev(options));
  const absl::Status opened = ThreadPool::shared().co_run([&] { return chardev->open(options); });
  if (!opened.ok()) return opened;
  if (options.kind == ChardevOptions::Kind::kListen && options.wait) {
    chardev->co_wait_for_client(options, quit);
  }
  return chardev;
}

absl::Status Chardev::open(const ChardevOptions& options) {
  using Kind = ChardevOptions::Kind;
  if (options.kind == Kind::kListen) {
    absl::StatusOr<QmpListener> listener =
        options.path.empty() ? QmpListener::adopt(options.fd) : QmpListener::open(options.path);
    if (listener.ok()) source_ = *std::move(listener);
    return listener.status();
  }
  if (options.kind == Kind::kConnect && options.reconnect.count() != 0) {
    source_ = QmpServer::Peer{options.path, options.reconnect};
    return absl::OkStatus();
  }
  if (options.kind == Kind::kConnect) {
    absl::StatusOr<UniqueFd> connection = options.path.empty()
                                              ? adopt_connection(options.fd)
                                              : connect_to_socket(options.path, kConnectLimit);
    if (connection.ok()) source_ = *std::move(connection);
    return connection.status();
  }
  UniqueFd session;
  absl::StatusOr<std::unique_ptr<StdioBridge>> bridge = StdioBridge::start(session);
  if (!bridge.ok()) return bridge.status();
  bridge_ = *std::move(bridge);
  source_ = std::move(session);
  return absl::OkStatus();
}

void Chardev::co_wait_for_client(const ChardevOptions& options, CoEvent& quit) {
  const std::string place =
      options.path.empty() ? "descriptor " + std::to_string(options.fd) : "unix:" + options.path;
  log_line(LogLevel::kInfo, "info: waiting for connection on " + place);
  pollfd arrival = {std::get<QmpListener>(source_).fd(), POLLIN, 0};
  while (::poll(&arrival, 1, 0) != 1) {
    if (quit.co_wait_until(AioContext::current()->now() + kClientInterval)) return;
  }
}

std::string Chardev::socket_file() const {
  const auto* const listener = std::get_if<QmpListener>(&source_);
  return listener == nullptr ? "" : listener->path();
}

absl::Status Chardev::claim_for_monitor(bool pretty) {
  if (std::exchange(has_monitor_, true)) {
    return errno_message(EBUSY, "Device '" + id_ + "' is in use: a chardev serves one monitor");
  }
  pretty_ = pretty;
  return absl::OkStatus();
}

std::unique_ptr<QmpServer> Chardev::start_monitor(Daemon& daemon) {
  if (!has_monitor_) return nullptr;
  QmpServer::Limits limits;
  limits.session.pretty = pretty_;
  auto source = std::exchange(source_, std::monostate());
  if (auto* const listener = std::get_if<QmpListener>(&source)) {
    return QmpServer::start(daemon_dispatch(daemon), std::move(*listener), limits);
  }
  if (auto* const peer = std::get_if<QmpServer::Peer>(&source)) {
    return QmpServer::start(daemon_dispatch(daemon), std::move(*peer), limits);
  }
  const std::string client = bridge_ != nullptr ? "standard input" : "chardev '" + id_ + "'";
  return QmpServer::start(daemon_dispatch(daemon), std::get<UniqueFd>(std::move(source)), client,
                          limits);
}

void Chardev::co_close() {
  ThreadPool::shared().co_run([this] {
    if (auto* const listener = std::get_if<QmpListener>(&source_)) listener->remove_file();
    source_ = std::monostate();
    bridge_.reset();
  });
}

}  // namespace penstock
