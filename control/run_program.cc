// SPDX-License-Identifier: Apache-2.0
#include "control/run_program.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <csignal>
#include <thread>

#include "base/status.h"
#include "base/unique_fd.h"

namespace penstock {
namespace {

std::vector<std::string> c_locale_environment() {
  std::vector<std::string> result;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string variable = *entry;
    if (!variable.starts_with("LC_ALL=")) result.push_back(variable);
  }
  result.push_back("LC_ALL=C");
  return result;
}

std::vector<char*> pointers_to(std::vector<std::string>& strings) {
  std::vector<char*> result;
  for (std::string& text : strings) result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

using Clock = std::chrono::steady_clock;

// How long a killed program may take to end. One that waits in the kernel for a filesystem's server
// may take for ever, and only the process's end would tell.
constexpr std::chrono::milliseconds kKillGrace{200};
constexpr std::chrono::milliseconds kReapInterval{1};

// For poll(2): milliseconds until `end`, -1 for never.
int timeout_until(const std::optional<Clock::time_point>& end) {
  if (!end) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(*end - Clock::now()).count();
  return static_cast<int>(std::clamp<int64_t>(left, 0, INT_MAX));
}

struct Deadline {
  explicit Deadline(const ProgramLimits& limits) : stop_fd(limits.stop_fd) {
    if (limits.time) end = Clock::now() + *limits.time;
  }

  // Waits for `fd` to be readable, or until `pause` is over.
  absl::Status wait(int fd, std::optional<std::chrono::milliseconds> pause) const {
    std::optional<Clock::time_point> wake = end;
    if (pause) wake = std::min(end.value_or(Clock::time_point::max()), Clock::now() + *pause);
    // poll(2) passes over descriptors that are negative.
    pollfd ready[] = {{fd, POLLIN, 0}, {stop_fd, POLLIN, 0}};
    if (::poll(ready, 2, timeout_until(wake)) < 0 && errno != EINTR)
      return errno_status(errno, "poll");
    if (ready[1].revents != 0) return errno_message(ECANCELED, "nobody wants it any more");
    if (end && Clock::now() >= *end) return errno_message(ETIMEDOUT, "it took too long");
    return absl::OkStatus();
  }

  const int stop_fd;
  std::optional<Clock::time_point> end;
};

// Until the program closes its side.
absl::Status read_all(int fd, const ProgramLimits& limits, const Deadline& deadline,
                      std::string& text) {
  char buffer[4096];
  for (;;) {
    if (const absl::Status status = deadline.wait(fd, std::nullopt); !status.ok()) return status;
    const ssize_t count = ::read(fd, buffer, sizeof buffer);
    if (count < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (count <= 0) break;
    if (static_cast<size_t>(count) > limits.output - text.size()) {
      return errno_message(EFBIG, "it said too much");
    }
    text.append(buffer, static_cast<size_t>(count));
  }
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return absl::OkStatus();
}

// A program may close its side and stay.
absl::Status reap(pid_t pid, const Deadline& deadline, int& wait_status) {
  const bool may_wait = !deadline.end && deadline.stop_fd < 0;
  for (;;) {
    const pid_t reaped = ::waitpid(pid, &wait_status, may_wait ? 0 : WNOHANG);
    if (reaped == pid) return absl::OkStatus();
    if (reaped < 0 && errno != EINTR) return errno_status(errno, "cannot wait for it");
    if (may_wait) continue;
    if (const absl::Status status = deadline.wait(-1, kReapInterval); !status.ok()) return status;
  }
}

void kill_and_reap(pid_t pid) {
  ::kill(pid, SIGKILL);
  const Clock::time_point end = Clock::now() + kKillGrace;
  while (::waitpid(pid, nullptr, WNOHANG) == 0 && Clock::now() < end) {
    std::this_thread::sleep_for(kReapInterval);
  }
}

}  // namespace

absl::StatusOr<ProgramResult> run_program(const std::vector<std::string>& arguments,
                                          const ProgramLimits& limits) {
  const Deadline deadline(limits);
  if (const absl::Status status = deadline.wait(-1, std::chrono::milliseconds(0)); !status.ok()) {
    return annotate(status, "did not start " + arguments[0]);
  }
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return errno_status(errno, "pipe");
  // The program's own side is as programs expect it.
  ::fcntl(ends[1], F_SETFL, 0);
  UniqueFd reader(ends[0]);
  UniqueFd writer(ends[1]);

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, writer.get(), STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, writer.get(), STDERR_FILENO);
  // The server blocks the signals that it waits for; the program shall not inherit that.
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t no_signals;
  sigemptyset(&no_signals);
  posix_spawnattr_setsigmask(&attributes, &no_signals);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);

  std::vector<std::string> argument_strings = arguments;
  std::vector<std::string> environment_strings = c_locale_environment();
  pid_t pid = -1;
  const int error =
      ::posix_spawnp(&pid, arguments[0].c_str(), &actions, &attributes,
                     pointers_to(argument_strings).data(), pointers_to(environment_strings).data());
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  writer.reset();
  if (error != 0) return errno_status(error, "cannot run " + arguments[0]);

  ProgramResult result;
  int wait_status = 0;
  absl::Status status = read_all(reader.get(), limits, deadline, result.output);
  if (status.ok()) status = reap(pid, deadline, wait_status);
  if (!status.ok()) {
    kill_and_reap(pid);
    return annotate(status, "ended " + arguments[0]);
  }
  result.exit_status =
      WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
  return result;
}

}  // namespace penstock
