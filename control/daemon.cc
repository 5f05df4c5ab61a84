// SPDX-License-Identifier: Apache-2.0
#include "control/daemon.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "base/status.h"
#include "base/unique_fd.h"
#include "control/log.h"

namespace penstock {
namespace {

// The first byte of the message to the parent; an error's errno and text follow.
constexpr char kReady = 'R';
constexpr char kFailed = 'E';

void send(int fd, const std::string& message) {
  // A parent that is gone needs no answer.
  [[maybe_unused]] const ssize_t written = ::write(fd, message.data(), message.size());
}

void leave_the_foreground() {
  log_to_system();
  ::setsid();
  [[maybe_unused]] const int moved = ::chdir("/");
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::dup2(null.get(), fd);
}

absl::Status serve(const Server& server, UniqueFd pipe) {
  absl::Status status = server([&] {
    leave_the_foreground();
    send(pipe.get(), {kReady});
    pipe.reset();
  });
  if (pipe.valid()) {
    if (status.ok()) status = errno_message(EINTR, "stopped before it was ready");
    send(pipe.get(), kFailed + std::to_string(status_errno(status)) + " " + status_text(status));
  } else if (!status.ok()) {
    log_line(LogLevel::kError, status_text(status));
  }
  return status;
}

std::string receive(int fd) {
  std::string message;
  char buffer[4096];
  for (;;) {
    const ssize_t count = ::read(fd, buffer, sizeof buffer);
    if (count > 0) {
      message.append(buffer, static_cast<size_t>(count));
    } else if (count == 0 || errno != EINTR) {
      return message;
    }
  }
}

absl::Status describe_end(pid_t server) {
  int how = 0;
  while (::waitpid(server, &how, 0) < 0 && errno == EINTR) {
  }
  return errno_message(ESHUTDOWN, WIFSIGNALED(how)
                                      ? "the server was ended by signal " +
                                            std::to_string(WTERMSIG(how)) + " (" +
                                            strsignal(WTERMSIG(how)) + ") before it was ready"
                                      : "the server ended before it was ready");
}

}  // namespace

BackgroundResult run_in_background(const Server& server) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return {false, errno_status(errno, "pipe")};
  UniqueFd reader(ends[0]);
  UniqueFd writer(ends[1]);
  const pid_t pid = ::fork();
  if (pid < 0) return {false, errno_status(errno, "cannot start the server")};
  if (pid == 0) {
    reader.reset();
    return {true, serve(server, std::move(writer))};
  }

  writer.reset();
  const std::string message = receive(reader.get());
  if (message.empty()) return {false, describe_end(pid)};
  if (message[0] == kReady) return {false, absl::OkStatus()};
  const size_t space = message.find(' ');
  const int error = std::atoi(message.substr(1, space - 1).c_str());
  return {false, errno_message(error, message.substr(space + 1))};
}

}  // namespace penstock
