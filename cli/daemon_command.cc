// SPDX-License-Identifier: Apache-2.0
#include <systemd/sd-daemon.h>

#include <cstdio>
#include <memory>
#include <string>

#include "CLI/CLI.hpp"
#include "base/absolute_path.h"
#include "cli/commands.h"
#include "cli/exit_status.h"
#include "control/daemon.h"
#include "control/daemon_server.h"
#include "control/log.h"

namespace penstock {
namespace {

constexpr char kFooter[] = R"(
The server starts with no image and takes everything over its socket, which speaks QMP as QEMU's
storage daemon does: object-add, blockdev-add, block-export-add and so on. 'penstock qmp' sends it
single commands. The command returns when the socket accepts clients, and prints its path; the
server then runs in the background until 'quit' or SIGTERM, and unmounts everything at its end.

Example:
  penstock daemon --socket /tmp/p.sock
  penstock qmp --socket /tmp/p.sock blockdev-add \
    '{"driver": "file", "filename": "/tmp/disk.img", "node-name": "disk", "read-only": true}'
  penstock qmp --socket /tmp/p.sock block-export-add \
    '{"type": "fuse", "id": "e0", "node-name": "disk", "mountpoint": "/tmp/mnt"}'
  penstock qmp --socket /tmp/p.sock quit

Exit status: 0 started (in the foreground: served and closed without an error), 1 failed,
2 wrong usage.)";

struct DaemonArguments {
  DaemonPlan plan;
  std::string socket;  // empty: the default one; the server puts its path in
  std::string engine = "auto";
};

int serve_in_foreground(const DaemonArguments& arguments) {
  return report(serve_daemon(arguments.plan, [&] {
    sd_notify(0, "READY=1");
    log_line(LogLevel::kInfo, "commands are taken at '" + arguments.socket + "'");
  }));
}

int serve_in_background(const DaemonArguments& arguments) {
  const BackgroundResult result = run_in_background([&](const std::function<void()>& on_ready) {
    return serve_daemon(arguments.plan, [&] {
      // Before the standard streams are left.
      std::printf("%s\n", arguments.socket.c_str());
      std::fflush(stdout);
      on_ready();
    });
  });
  if (result.is_server) return result.status.ok() ? kDone : kFailed;
  return report(result.status);
}

int run(DaemonArguments& arguments) {
  DaemonPlan& plan = arguments.plan;
  plan.engine = parse_engine(arguments.engine).value_or(Engine::kAuto);
  for (std::string* path : {&arguments.socket, &plan.pid_file}) {
    if (path->empty()) continue;
    absl::StatusOr<std::string> absolute = absolute_path(*path);
    if (!absolute.ok()) return report(absolute.status());
    *path = *std::move(absolute);
  }
  plan.steps = {open_control_socket(
      arguments.socket, [&arguments](const std::string& path) { arguments.socket = path; })};
  return plan.foreground ? serve_in_foreground(arguments) : serve_in_background(arguments);
}

}  // namespace

void add_daemon_command(CLI::App& program, int& exit_status) {
  const auto arguments = std::make_shared<DaemonArguments>();
  DaemonPlan& plan = arguments->plan;
  CLI::App& command =
      *program.add_subcommand("daemon", "Run a server that is controlled over a socket");
  command.footer(kFooter);
  command
      .add_option("--socket", arguments->socket,
                  "The control socket (default: PID.qmp in the user's runtime directory)")
      ->type_name("PATH");
  command.add_flag("--foreground", plan.foreground,
                   "Serve in this process, messages on stderr; tells systemd when it is ready");
  command.add_option("--pid-file", plan.pid_file, "Write the server's PID there while it runs");
  command.add_option("--engine", arguments->engine, "auto, io_uring or threads")
      ->check(CLI::IsMember({"auto", "io_uring", "threads"}))
      ->capture_default_str();
  command.callback([arguments, &exit_status] { exit_status = run(*arguments); });
}

}  // namespace penstock
