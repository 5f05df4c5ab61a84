// SPDX-License-Identifier: Apache-2.0
#include "cli/interrupt.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>

namespace penstock {
namespace {

std::atomic<int> write_end_of_handler = -1;

extern "C" void note_interrupt(int) {
  const int saved = errno;
  const char byte = 0;
  [[maybe_unused]] const ssize_t written = ::write(write_end_of_handler.load(), &byte, 1);
  errno = saved;
}

constexpr int kSignals[] = {SIGINT, SIGTERM, SIGHUP};

bool is_ignored(int number) {
  struct sigaction present = {};
  return ::sigaction(number, nullptr, &present) == 0 && present.sa_handler == SIG_IGN;
}

}  // namespace

Interrupt::Interrupt() {
  ::signal(SIGPIPE, SIG_IGN);
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return;
  read_end_ = UniqueFd(ends[0]);
  write_end_ = UniqueFd(ends[1]);
  write_end_of_handler = ends[1];
  struct sigaction action = {};
  action.sa_handler = note_interrupt;
  action.sa_flags = SA_RESTART | static_cast<int>(SA_RESETHAND);
  for (const int number : kSignals) {
    if (!is_ignored(number)) ::sigaction(number, &action, nullptr);
  }
}

Interrupt::~Interrupt() {
  for (const int number : kSignals) {
    if (!is_ignored(number)) ::signal(number, SIG_DFL);
  }
  write_end_of_handler = -1;
}

bool Interrupt::came() const { return !sleep_for(std::chrono::milliseconds(0)); }

bool Interrupt::sleep_for(std::chrono::milliseconds duration) const {
  const auto end = std::chrono::steady_clock::now() + duration;
  for (;;) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
    pollfd wait = {.fd = read_end_.get(), .events = POLLIN, .revents = 0};
    const int ready =
        ::poll(&wait, 1, static_cast<int>(std::clamp<int64_t>(left.count(), 0, 1 << 30)));
    if (ready > 0) return false;
    if (ready == 0) return true;
  }
}

}  // namespace penstock
