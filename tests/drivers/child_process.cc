// SPDX-License-Identifier: Apache-2.0
#include "tests/drivers/child_process.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace penstock {
namespace {

struct Started {
  pid_t pid = -1;
  UniqueFd input;
  UniqueFd output;
};

struct Pipe {
  Pipe() {
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0) {
      std::perror("pipe2");
      std::abort();
    }
    read_end.reset(fds[0]);
    write_end.reset(fds[1]);
  }
  UniqueFd read_end;
  UniqueFd write_end;
};

Started start(const std::vector<std::string>& command) {
  Pipe input;
  Pipe output;
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, input.read_end.get(), STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, output.write_end.get(), STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, output.write_end.get(), STDERR_FILENO);
  std::vector<char*> arguments;
  for (const std::string& argument : command) {
    arguments.push_back(const_cast<char*>(argument.c_str()));
  }
  arguments.push_back(nullptr);
  Started started;
  if (posix_spawnp(&started.pid, arguments[0], &actions, nullptr, arguments.data(), environ) != 0) {
    started.pid = -1;
  }
  posix_spawn_file_actions_destroy(&actions);
  started.input = std::move(input.write_end);
  started.output = std::move(output.read_end);
  return started;
}

int wait_for(pid_t pid) {
  if (pid < 0) return 127;
  int status = 0;
  while (waitpid(pid, &status, 0) < 0) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

ProcessResult run_process(const std::vector<std::string>& command) {
  Started started = start(command);
  started.input.reset();
  ProcessResult result;
  char buffer[4096];
  ssize_t got;
  while ((got = read(started.output.get(), buffer, sizeof(buffer))) > 0) {
    result.output.append(buffer, static_cast<size_t>(got));
  }
  result.exit_status = wait_for(started.pid);
  return result;
}

bool have_program(const std::string& name) {
  return run_process({"sh", "-c", "command -v " + name}).exit_status == 0;
}

HeldProcess::HeldProcess(const std::vector<std::string>& command) {
  Started started = start(command);
  pid_ = started.pid;
  input_ = std::move(started.input);
  output_ = std::move(started.output);
}

bool HeldProcess::wait_for_output(const std::string& text) {
  std::string seen;
  char byte;
  while (read(output_.get(), &byte, 1) == 1) {
    seen += byte;
    if (seen.ends_with(text)) return true;
  }
  std::fprintf(stderr, "the process said: %s\n", seen.c_str());
  return false;
}

void HeldProcess::finish() {
  input_.reset();
  if (pid_ >= 0) wait_for(pid_);
  pid_ = -1;
}

}  // namespace penstock
