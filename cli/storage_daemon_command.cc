// SPDX-License-Identifier: Apache-2.0
#include <getopt.h>
#include <systemd/sd-daemon.h>

#include <cstdio>
#include <optional>
#include <string>
#include <utility>

#include "CLI/CLI.hpp"
#include "base/absolute_path.h"
#include "base/status.h"
#include "base/version.h"
#include "cli/commands.h"
#include "cli/exit_status.h"
#include "control/daemon.h"
#include "control/daemon_server.h"
#include "control/storage_daemon.h"

namespace penstock {
namespace {

using Kind = StorageDaemonOption::Kind;

constexpr char kHelp[] = R"(Usage: penstock storage-daemon [OPTION]...
Takes the command line of qemu-storage-daemon. Options take effect in their order.

  --blockdev [driver=]DRIVER,node-name=NAME[,OPTION=VALUE...]
                         open an image; drivers and options are those of the command blockdev-add
  --object [qom-type=]iothread,id=ID[,poll-max-ns=N]
                         start a thread that serves requests
  --object [qom-type=]throttle-group,id=ID[,limits.iops-total=N...]
                         make limits for nodes of the driver throttle
  --export [type=]fuse,id=ID,node-name=NAME,mountpoint=PATH
           [,writable=on|off][,growable=on|off][,allow-other=on|off|auto]
           [,iothread=ID | ,iothread.0=ID,iothread.1=ID...]
                         show a node as the file PATH, or as 'disk' in the directory PATH
  --chardev socket,id=ID,path=PATH,server=on[,wait=on|off]
                         listen there; without wait=off the next option waits for a client
  --chardev socket,id=ID,path=PATH[,reconnect=SECONDS]
                         connect there
  --chardev socket,id=ID,fd=N[,server=on]
                         use a socket that was passed to this process
  --chardev stdio,id=ID  standard input and output
  --monitor [chardev=]ID[,mode=control][,pretty=on|off]
                         take QMP commands there
  --pidfile FILE         write the process ID to FILE when everything stands
  --daemonize            return when everything stands, and go on in the background
  -h, --help             show this help
  -V, --version          show the version
  -T, --trace PATTERN    accepted: there are no trace events

Each argument may also be a JSON object, but that of --chardev. A comma in a value is written ',,'.
--nbd-server, and exports of other types, are refused.

It ends on SIGTERM, SIGINT, SIGHUP or the command 'quit', with everything unmounted.

Exit status: 0 ended so (with --daemonize: everything stands), 1 an option failed, and what others
had made is taken back.
)";

enum Code : int {
  kFirstCode = 256,  // beyond the letters
  kBlockdev = kFirstCode,
  kChardev,
  kDaemonize,
  kExport,
  kMonitor,
  kNbdServer,
  kObject,
  kPidFile,
};

constexpr int kOther = 1;  // getopt's, for a word that is no option

constexpr option kOptions[] = {
    {"blockdev", required_argument, nullptr, kBlockdev},
    {"chardev", required_argument, nullptr, kChardev},
    {"daemonize", no_argument, nullptr, kDaemonize},
    {"export", required_argument, nullptr, kExport},
    {"help", no_argument, nullptr, 'h'},
    {"monitor", required_argument, nullptr, kMonitor},
    {"nbd-server", required_argument, nullptr, kNbdServer},
    {"object", required_argument, nullptr, kObject},
    {"pidfile", required_argument, nullptr, kPidFile},
    {"trace", required_argument, nullptr, 'T'},
    {"version", no_argument, nullptr, 'V'},
    {nullptr, 0, nullptr, 0},
};

struct Arguments {
  StorageDaemonPlan plan;
  std::string pid_file;
};

int refuse(const std::string& text) {
  print_error(text + "; see 'penstock storage-daemon --help'");
  return kFailed;
}

std::optional<StorageDaemonOption> step_of(int code, const char* argument) {
  switch (code) {
    case kBlockdev:
      return StorageDaemonOption{Kind::kBlockdev, "--blockdev", argument};
    case kChardev:
      return StorageDaemonOption{Kind::kChardev, "--chardev", argument};
    case kExport:
      return StorageDaemonOption{Kind::kExport, "--export", argument};
    case kMonitor:
      return StorageDaemonOption{Kind::kMonitor, "--monitor", argument};
    case kNbdServer:
      return StorageDaemonOption{Kind::kNbdServer, "--nbd-server", argument};
    case kObject:
      return StorageDaemonOption{Kind::kObject, "--object", argument};
    default:
      return std::nullopt;
  }
}

std::optional<int> take_pid_file(const char* path, Arguments& arguments) {
  absl::StatusOr<std::string> file = absolute_path(path);
  if (!file.ok()) return refuse("--pidfile: " + status_text(file.status()));
  arguments.pid_file = *std::move(file);
  return std::nullopt;
}

// The exit status if the program is to end now.
std::optional<int> take(int code, char** argv, Arguments& arguments) {
  if (auto step = step_of(code, optarg)) {
    arguments.plan.options.push_back(*std::move(step));
    return std::nullopt;
  }
  switch (code) {
    case kDaemonize:
      arguments.plan.in_background = true;
      return std::nullopt;
    case kPidFile:
      return take_pid_file(optarg, arguments);
    case 'h':
      std::fputs(kHelp, stdout);
      return kDone;
    case 'T':
      print_error("--trace " + std::string(optarg) + ": ignored, there are no trace events");
      return std::nullopt;
    case 'V':
      std::printf("penstock storage-daemon version %s\n", kVersion);
      return kDone;
    case ':':
      return refuse("option '" + std::string(argv[optind - 1]) + "' requires an argument");
    case kOther:
      return refuse(std::string(optarg) + ": Unexpected argument");
    default:
      return refuse("there is no option '" + std::string(argv[optind - 1]) + "'");
  }
}

// The exit status if the program is to end now.
std::optional<int> read_arguments(int argc, char** argv, Arguments& arguments) {
  opterr = 0;
  for (;;) {
    const int code = ::getopt_long(argc, argv, "-:hT:V", kOptions, nullptr);
    if (code == -1) break;
    if (const auto status = take(code, argv, arguments)) return status;
  }
  // What comes after "--".
  if (optind < argc) return refuse(std::string(argv[optind]) + ": Unexpected argument");
  return std::nullopt;
}

}  // namespace

void add_storage_daemon_command(CLI::App& program) {
  program.add_subcommand("storage-daemon", "Run a server with qemu-storage-daemon's command line");
}

int run_storage_daemon(int argc, char** argv) {
  Arguments arguments;
  if (const auto status = read_arguments(argc, argv, arguments)) return *status;
  DaemonPlan plan;
  plan.steps = storage_daemon_steps(arguments.plan);
  plan.pid_file = arguments.pid_file;
  plan.foreground = !arguments.plan.in_background;
  if (plan.foreground) return report(serve_daemon(plan, [] { sd_notify(0, "READY=1"); }));
  const BackgroundResult result = run_in_background(
      [&](const std::function<void()>& on_ready) { return serve_daemon(plan, on_ready); });
  if (result.is_server) return result.status.ok() ? kDone : kFailed;
  return report(result.status);
}

}  // namespace penstock
