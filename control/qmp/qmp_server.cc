// SPDX-License-Identifier: Apache-2.0
#include "control/qmp/qmp_server.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <optional>
#include <set>
#include <utility>

#include "base/status.h"
#include "control/daemon_state.h"
#include "control/log.h"
#include "control/qmp/command_table.h"
#include "control/qmp/socket_file.h"
#include "iothreads/aio_context.h"
#include "iothreads/co_sleep.h"
#include "iothreads/control_thread.h"
#include "iothreads/thread_pool.h"

namespace penstock {
namespace {

using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;

// How long a new client waits for one of too many to go.
constexpr Nanoseconds kFullWait = 100ms;
// Between tries to accept while the process or the system has no descriptor left.
constexpr Nanoseconds kShortageWait = 100ms;
// For a peer that does not accept.
constexpr std::chrono::milliseconds kConnectLimit = 5s;
// For a client to read what it was sent, at the end.
constexpr Nanoseconds kLastWords = 1s;
// For connections to end that have been told to.
constexpr Nanoseconds kDisconnectWait = 1s;

Nanoseconds now() { return AioContext::current()->now(); }

std::string describe(const ucred& peer) {
  return "PID " + std::to_string(peer.pid) + " of user " + std::to_string(peer.uid);
}

bool is_allowed(const ucred& peer) { return peer.uid == 0 || peer.uid == ::geteuid(); }

void refuse(const UniqueFd& socket, unsigned clients) {
  const nlohmann::json reply =
      qmp_error_reply(errno_message(EAGAIN, "this server has its " + std::to_string(clients) +
                                                " clients already: end one and connect again"));
  const std::string line = reply.dump() + "\r\n";
  // A client that is gone needs no answer; an empty socket has room for a line.
  [[maybe_unused]] const ssize_t sent =
      ::send(socket.get(), line.data(), line.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
}

}  // namespace

QmpDispatch daemon_dispatch(Daemon& daemon) {
  QmpDispatch dispatch;
  dispatch.events = &daemon.events;
  dispatch.co_run = [&daemon](const std::string& name, const nlohmann::json& arguments) {
    assert_in_coroutine();
    assert_control_thread();
    return co_run_qmp_command(daemon, name, arguments);
  };
  return dispatch;
}

// Shared with the coroutines, which may outlive a server that could not be stopped in time.
struct QmpServer::State : std::enable_shared_from_this<QmpServer::State> {
  State(QmpDispatch service, Limits bounds) : dispatch(std::move(service)), limits(bounds) {}

  void co_accept() CONTROL_COROUTINE_CODE;
  void co_wait_for_arrival() CONTROL_COROUTINE_CODE;
  void end_source() GLOBAL_STATE_CODE;
  void co_welcome(UniqueFd socket) CONTROL_COROUTINE_CODE;
  void serve(UniqueFd socket, const std::string& client) GLOBAL_STATE_CODE;
  void co_keep_connected(const Peer& peer) CONTROL_COROUTINE_CODE;
  bool co_wait_for_fewer_than(size_t sessions, Nanoseconds deadline) CONTROL_COROUTINE_CODE;
  void remove_file() GLOBAL_STATE_CODE;
  bool co_wait_for_commands(Nanoseconds deadline) CONTROL_COROUTINE_CODE;
  absl::Status still_running() const GLOBAL_STATE_CODE;

  const QmpDispatch dispatch;
  const Limits limits;
  std::optional<QmpListener> listener;
  bool stopping = false;
  CoEvent stop;
  IoOperation arrival;
  bool waiting_for_arrival = false;
  std::set<std::shared_ptr<QmpSession>> sessions;
  CoEvent session_ended;
  // Nobody makes sessions any more.
  CoEvent source_ended;
  CoEvent file_removed;
};

void QmpServer::State::co_accept() {
  bool complained = false;
  while (!stopping) {
    UniqueFd socket(::accept4(listener->fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    const int error = errno;
    if (socket.valid()) {
      complained = false;
      co_welcome(std::move(socket));
    } else if (error == EAGAIN) {
      co_wait_for_arrival();
    } else if (error != EINTR && error != ECONNABORTED && !stopping) {
      if (!std::exchange(complained, true)) {
        log_line(LogLevel::kWarning,
                 "cannot accept control clients for now: " + std::string(std::strerror(error)));
      }
      co_sleep(kShortageWait);
    }
  }
}

void QmpServer::State::co_wait_for_arrival() {
  arrival = IoOperation{};
  arrival.opcode = IoOpcode::kPoll;
  arrival.fd = listener->fd();
  arrival.mode = POLLIN;
  waiting_for_arrival = true;
  co_perform(arrival);
  waiting_for_arrival = false;
}

void QmpServer::State::end_source() {
  stopping = true;
  stop.set();
  // An adopted socket is its maker's too, who may go on listening: it is not shut down.
  if (waiting_for_arrival) AioContext::current()->poller().cancel(&arrival);
}

void QmpServer::State::co_welcome(UniqueFd socket) {
  ucred peer = {};
  socklen_t size = sizeof(peer);
  const bool known = ::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
                     (is_allowed(peer) || listener->path().empty());
  if (!known) {
    log_line(LogLevel::kWarning, "turned a control client away: " + describe(peer));
    return;
  }
  // Of many that come at once some have gone again already.
  if (!co_wait_for_fewer_than(limits.clients, now() + kFullWait)) {
    refuse(socket, limits.clients);
    return;
  }
  if (!stopping) serve(std::move(socket), describe(peer));
}

void QmpServer::State::serve(UniqueFd socket, const std::string& client) {
  auto session = std::make_shared<QmpSession>(std::move(socket), dispatch, client, limits.session);
  sessions.insert(session);
  control_context().spawn("qmp client", [self = shared_from_this(), session] {
    assert_in_coroutine();
    assert_control_thread();
    session->co_serve();
    self->sessions.erase(session);
    self->session_ended.set();
  });
}

void QmpServer::State::co_keep_connected(const Peer& peer) {
  bool complained = false;
  while (!stopping) {
    absl::StatusOr<UniqueFd> connection =
        ThreadPool::shared().co_run([&] { return connect_to_socket(peer.path, kConnectLimit); });
    if (stopping) return;
    if (connection.ok()) {
      complained = false;
      serve(*std::move(connection), peer.path);
      while (!sessions.empty()) {
        session_ended.reset();
        session_ended.co_wait();
      }
    } else if (!std::exchange(complained, true)) {
      log_line(LogLevel::kWarning, status_text(connection.status()) + "; trying again");
    }
    stop.co_wait_until(now() + peer.retry);
  }
}

bool QmpServer::State::co_wait_for_fewer_than(size_t count, Nanoseconds deadline) {
  while (sessions.size() >= count) {
    session_ended.reset();
    if (!session_ended.co_wait_until(deadline)) return false;
  }
  return true;
}

// In a coroutine of its own: a folder that does not answer must not hold up the end.
void QmpServer::State::remove_file() {
  if (!listener) {
    file_removed.set();
    return;
  }
  control_context().spawn("remove a socket's file", [self = shared_from_this()] {
    assert_in_coroutine();
    ThreadPool::shared().co_run([&] { self->listener->remove_file(); });
    self->file_removed.set();
  });
}

// Disconnects clients that do not read: only commands are worth a wait. False if some go on at the
// deadline.
bool QmpServer::State::co_wait_for_commands(Nanoseconds deadline) {
  std::set<const QmpSession*> idle;  // at the last look
  for (;;) {
    for (const std::shared_ptr<QmpSession>& session : sessions) {
      if (!session->running_command().empty()) continue;
      if (!idle.insert(session.get()).second) session->disconnect();
    }
    if (co_wait_for_fewer_than(1, std::min(deadline, now() + kLastWords))) return true;
    if (now() >= deadline) return false;
  }
}

absl::Status QmpServer::State::still_running() const {
  for (const std::shared_ptr<QmpSession>& session : sessions) {
    if (session->running_command().empty()) continue;
    return errno_message(ETIMEDOUT, "the command " + session->running_command() + " does not end");
  }
  return errno_message(ETIMEDOUT, "a control client's connection does not end");
}

absl::StatusOr<std::unique_ptr<QmpServer>> QmpServer::co_start(QmpDispatch dispatch,
                                                               const std::string& path,
                                                               Limits limits) {
  absl::StatusOr<QmpListener> listener =
      ThreadPool::shared().co_run([&] { return QmpListener::open(path); });
  if (!listener.ok()) return listener.status();
  return start(std::move(dispatch), *std::move(listener), limits);
}

absl::StatusOr<std::unique_ptr<QmpServer>> QmpServer::co_start(Daemon& daemon,
                                                               const std::string& path) {
  return co_start(daemon_dispatch(daemon), path, Limits());
}

std::unique_ptr<QmpServer> QmpServer::start(QmpDispatch dispatch, QmpListener listener,
                                            Limits limits) {
  auto state = std::make_shared<State>(std::move(dispatch), limits);
  state->listener.emplace(std::move(listener));
  control_context().spawn("qmp server", [state] {
    assert_in_coroutine();
    assert_control_thread();
    state->co_accept();
    state->source_ended.set();
  });
  return std::unique_ptr<QmpServer>(new QmpServer(std::move(state)));
}

std::unique_ptr<QmpServer> QmpServer::start(QmpDispatch dispatch, UniqueFd connection,
                                            const std::string& client, Limits limits) {
  auto state = std::make_shared<State>(std::move(dispatch), limits);
  state->serve(std::move(connection), client);
  state->source_ended.set();
  return std::unique_ptr<QmpServer>(new QmpServer(std::move(state)));
}

std::unique_ptr<QmpServer> QmpServer::start(QmpDispatch dispatch, Peer peer, Limits limits) {
  auto state = std::make_shared<State>(std::move(dispatch), limits);
  control_context().spawn("qmp dialer", [state, peer = std::move(peer)] {
    assert_in_coroutine();
    assert_control_thread();
    state->co_keep_connected(peer);
    state->source_ended.set();
  });
  return std::unique_ptr<QmpServer>(new QmpServer(std::move(state)));
}

QmpServer::~QmpServer() = default;

absl::Status QmpServer::co_stop(Nanoseconds limit) {
  State& state = *state_;
  const Nanoseconds deadline = now() + limit;
  state.end_source();
  state.remove_file();
  for (const std::shared_ptr<QmpSession>& session : state.sessions) session->finish();
  bool ended = state.co_wait_for_commands(deadline);
  if (!ended) {
    for (const std::shared_ptr<QmpSession>& session : state.sessions) session->disconnect();
    ended = state.co_wait_for_fewer_than(1, now() + kDisconnectWait);
  }
  if (!ended) return state.still_running();
  if (!state.file_removed.co_wait_until(std::max(deadline, now() + kLastWords))) {
    return errno_message(ETIMEDOUT, "the socket '" + state.listener->path() +
                                        "' could not be removed: its folder does not answer");
  }
  state.source_ended.co_wait();
  return absl::OkStatus();
}

}  // namespace penstock
