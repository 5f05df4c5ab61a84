// SPDX-License-Identifier: Apache-2.0
#include "control/qmp/stdio_bridge.h"

#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <string>
#include <thread>
#include <utility>

#include "base/status.h"

namespace penstock {
namespace {

constexpr std::chrono::seconds kLastWords{1};
// What a pipe that is ready for writing takes without blocking.
constexpr size_t kPiece = PIPE_BUF;  // bytes

// One direction: what was read and is not written yet.
struct Direction {
  std::string pending;
  bool source_ended = false;

  bool wants_input() const { return pending.empty() && !source_ended; }
  bool is_done() const { return pending.empty() && source_ended; }

  void read_from(int fd) {
    char buffer[kPiece];
    const ssize_t count = ::read(fd, buffer, sizeof buffer);
    if (count > 0) {
      pending.assign(buffer, static_cast<size_t>(count));
    } else if (count == 0 || (errno != EAGAIN && errno != EINTR)) {
      source_ended = true;
    }
  }
  // False if nobody reads any more.
  bool write_to(int fd) {
    const ssize_t count = ::write(fd, pending.data(), pending.size());
    if (count < 0) return errno == EAGAIN || errno == EINTR;
    pending.erase(0, static_cast<size_t>(count));
    return true;
  }
};

class Pump {
 public:
  explicit Pump(UniqueFd socket) : socket_(std::move(socket)) {}

  // Until the session has ended and its last words are written.
  void run() {
    while (!out_.is_done()) {
      pollfd events[] = {
          {in_.wants_input() ? STDIN_FILENO : -1, POLLIN, 0},
          {out_.wants_input() ? -1 : STDOUT_FILENO, POLLOUT, 0},
          // One that is not asked anything would still tell of its end, again and again.
          {socket_events() == 0 ? -1 : socket_.get(), socket_events(), 0},
      };
      if (::poll(events, 3, -1) < 0 && errno != EINTR) return;
      if (!move_input(events[0].revents != 0, events[2].revents) ||
          !move_output(events[1].revents != 0, events[2].revents)) {
        return;
      }
    }
  }

 private:
  short socket_events() const {
    const int read = out_.wants_input() ? POLLIN : 0;
    const int write = in_.pending.empty() ? 0 : POLLOUT;
    return static_cast<short>(read | write);
  }
  bool move_input(bool stdin_ready, short socket) {
    if (stdin_ready) {
      in_.read_from(STDIN_FILENO);
      if (in_.is_done()) ::shutdown(socket_.get(), SHUT_WR);
    }
    if (in_.pending.empty() || (socket & (POLLOUT | POLLHUP | POLLERR)) == 0) return true;
    if (!in_.write_to(socket_.get())) in_.pending.clear();  // the session has ended
    return true;
  }
  bool move_output(bool stdout_ready, short socket) {
    if (out_.wants_input() && (socket & (POLLIN | POLLHUP | POLLERR)) != 0) {
      out_.read_from(socket_.get());
      return true;
    }
    return !stdout_ready || out_.write_to(STDOUT_FILENO);
  }

  UniqueFd socket_;
  Direction in_;
  Direction out_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<StdioBridge>> StdioBridge::start(UniqueFd& session) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0) {
    return errno_status(errno, "cannot make a socket");
  }
  session.reset(ends[0]);
  return std::unique_ptr<StdioBridge>(new StdioBridge(UniqueFd(ends[1])));
}

StdioBridge::StdioBridge(UniqueFd bridge) {
  std::promise<void> ended;
  ended_ = ended.get_future();
  std::thread([pump = Pump(std::move(bridge)), ended = std::move(ended)]() mutable {
    pump.run();
    ended.set_value();
  }).detach();
}

StdioBridge::~StdioBridge() { ended_.wait_for(kLastWords); }

}  // namespace penstock
