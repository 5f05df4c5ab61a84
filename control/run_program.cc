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

// Until the program closes its side.
absl::Status read_all(int fd, const ProgramLimits& limits, std::string& text) {
  std::optional<Clock::time_point> end;
  if (limits.time) end = Clock::now() + *limits.time;
  char buffer[4096];
  for (;;) {
    pollfd ready = {fd, POLLIN, 0};
    const int polled = ::poll(&ready, 1, timeout_until(end));
    if (polled < 0 && errno == EINTR) continue;
    if (polled == 0) return errno_message(ETIMEDOUT, "it took too long");
    const ssize_t count = ::read(fd, buffer, sizeof buffer);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    if (static_cast<size_t>(count) > limits.output - text.size()) {
      return errno_message(EFBIG, "it said too much");
    }
    text.append(buffer, static_cast<size_t>(count));
  }
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return absl::OkStatus();
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
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return errno_status(errno, "pipe");
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
  if (absl::Status read = read_all(reader.get(), limits, result.output); !read.ok()) {
    kill_and_reap(pid);
    return annotate(read, "ended " + arguments[0]);
  }
  int wait_status = 0;
  while (::waitpid(pid, &wait_status, 0) < 0) {
    if (errno != EINTR) return errno_status(errno, "cannot wait for " + arguments[0]);
  }
  result.exit_status =
      WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
  return result;
}

}  // namespace penstock
