// SPDX-License-Identifier: Apache-2.0
#include <sched.h>
#include <systemd/sd-daemon.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include "CLI/CLI.hpp"
#include "base/absolute_path.h"
#include "base/status.h"
#include "cli/chain_options.h"
#include "cli/commands.h"
#include "cli/exit_status.h"
#include "cli/mount_options.h"
#include "control/daemon.h"
#include "control/log.h"
#include "control/mount_plan.h"
#include "control/mount_point.h"
#include "control/mount_server.h"

namespace penstock {
namespace {

namespace fs = std::filesystem;

constexpr unsigned kMaxIoThreads = 32;
constexpr unsigned kMaxDefaultIoThreads = 4;

constexpr char kFooter[] = R"(
The image appears as DIR/disk, its partitions beside it as p1, p2, ..., with links to them in
by-label, by-uuid and by-partname, its internal snapshots in snapshots/NAME, and what is known
about it in info.json. If the second argument is a regular file, it becomes the disk instead.
The command returns when the files can be read; the server then runs in the background until
the mount goes away: 'penstock umount DIR', 'fusermount3 -u DIR' and 'umount DIR' all do.

-o takes words between commas: ro, rw, allow_other, cache, direct, growable, uid=N, gid=N,
mode=OCTAL, fsname=NAME, offset=BYTES and size=BYTES (a window of a raw image), fault=RULE,
snapshot=NAME, no-partitions, sector-size=512 or 4096 (of the partition table; both are tried),
qmp=PATH.

While it serves, 'penstock qmp DIR COMMAND' reconfigures it: the export is called "mount", the
topmost node "disk". 'penstock daemon --help' says more.

Examples:
  penstock mount disk.img ~/mnt                 read-only, format found by its header
  penstock mount -w -f raw disk.img ~/mnt       writable; raw is never guessed for writing
  penstock mount -o offset=1M,size=64M disk.img ~/mnt
  sudo penstock mount -o allow_other disk.img /mnt
  penstock umount ~/mnt

Exit status: 0 mounted (in the foreground: served and closed without an error), 1 failed,
2 wrong usage.)";

struct MountArguments {
  MountPlan plan;
  AccessWords access;
  ChainArguments chain;
  std::vector<std::string> option_lists;
  std::string command_socket;  // empty: not said
  std::string engine = "auto";
};

unsigned default_iothreads() {
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  const int count = ::sched_getaffinity(0, sizeof cpus, &cpus) == 0 ? CPU_COUNT(&cpus) : 1;
  return std::clamp(static_cast<unsigned>(count), 1u, kMaxDefaultIoThreads);
}

absl::StatusOr<std::string> resolved_path(const std::string& path) {
  std::error_code error;
  const fs::path resolved = fs::canonical(path, error);
  return error ? absolute_path(path) : resolved.string();
}

// From what was said to a plan that is consistent in itself.
absl::Status finish_plan(MountArguments& arguments) {
  MountPlan& plan = arguments.plan;
  if (!arguments.command_socket.empty()) {
    const absl::Status status = set_command_socket(arguments.command_socket, plan);
    if (!status.ok()) return status;
  }
  for (const std::string& list : arguments.option_lists) {
    const absl::Status status = apply_mount_options(list, plan, arguments.access);
    if (!status.ok()) return status;
  }
  if (auto status = arguments.chain.read_into(plan.chain); !status.ok()) return status;
  if (arguments.access.read_only && arguments.access.writable) {
    return errno_message(EINVAL, "the mount is to be read-only and writable: say one of them");
  }
  plan.writable = arguments.access.writable;
  if (plan.growable && !plan.writable) {
    return errno_message(EINVAL, "--growable is for writable mounts: add -w");
  }
  if (plan.growable && plan.raw_size) {
    return errno_message(EINVAL, "a window with size= cannot grow: leave out one of the two");
  }
  if (plan.force_share && plan.writable) {
    return errno_message(EINVAL, "--force-share is for read-only mounts: leave out -w");
  }
  if (!plan.snapshot.empty() && plan.writable) {
    return errno_message(EINVAL, "a snapshot cannot be written: leave out -w or --snapshot");
  }
  plan.engine = parse_engine(arguments.engine).value_or(Engine::kAuto);
  absl::StatusOr<std::string> image = resolved_path(plan.image);
  if (!image.ok()) return image.status();
  plan.image = *std::move(image);
  plan.mount_point = canonical_mount_point(plan.mount_point);
  if (plan.pid_file.empty()) return absl::OkStatus();
  absl::StatusOr<std::string> pid_file = absolute_path(plan.pid_file);
  if (pid_file.ok()) plan.pid_file = *std::move(pid_file);
  return pid_file.status();
}

int mount_in_foreground(const MountPlan& plan) {
  return report(serve_mount(plan, [&] {
    sd_notify(0, "READY=1");
    log_line(LogLevel::kInfo, "'" + plan.image + "' is mounted at '" + plan.mount_point + "'");
  }));
}

int mount_in_background(const MountPlan& plan) {
  const BackgroundResult result = run_in_background(
      [&](const std::function<void()>& on_ready) { return serve_mount(plan, on_ready); });
  if (result.is_server) return result.status.ok() ? kDone : kFailed;
  return report(result.status);
}

int run(MountArguments& arguments) {
  if (const absl::Status status = finish_plan(arguments); !status.ok()) {
    print_error(status_text(status));
    return kUsage;
  }
  return arguments.plan.foreground ? mount_in_foreground(arguments.plan)
                                   : mount_in_background(arguments.plan);
}

}  // namespace

void add_mount_command(CLI::App& program, int& exit_status) {
  const auto arguments = std::make_shared<MountArguments>();
  MountPlan& plan = arguments->plan;
  plan.iothreads = default_iothreads();

  CLI::App& command = *program.add_subcommand("mount", "Show a disk image as a raw file");
  command.footer(kFooter);
  command.add_option("IMAGE", plan.image, "The disk image: a file or a block device")->required();
  command.add_option("DIR", plan.mount_point, "An existing directory or regular file")->required();
  command.add_flag("-w,--writable", arguments->access.writable,
                   "Let the file be written (default: read-only)");
  command.add_flag("-r,--read-only", arguments->access.read_only,
                   "Read-only, which is the default");
  command.add_option("-f,--format", plan.format,
                     "The image's format (default: found by its header; raw only if nothing"
                     " matches and the mount is read-only)");
  command.add_option("-t,--threads,--iothreads", plan.iothreads, "Threads that serve requests")
      ->check(CLI::Range(1u, kMaxIoThreads))
      ->capture_default_str();
  command.add_option("-o", arguments->option_lists, "Mount options, see below")
      ->allow_extra_args(false)
      ->type_name("OPTS");
  arguments->chain.add_to(command);
  command.add_flag("--growable", plan.growable,
                   "Let writes past the end and truncate change the image's size");
  command.add_flag("--cache", plan.cached,
                   "Let the kernel cache the mounted file's pages (default: direct I/O)");
  command.add_flag("--direct", plan.direct, "Bypass the page cache of the image (O_DIRECT)");
  command.add_flag("-U,--force-share", plan.force_share,
                   "Read an image that another program is writing: contents may be torn");
  command
      .add_option("--snapshot", plan.snapshot,
                  "Show this internal snapshot, by name or id, instead of the newest state")
      ->check([](const std::string& name) {
        return std::string(name.empty() ? "takes the name or the id of a snapshot" : "");
      })
      ->type_name("NAME");
  command.add_flag("!--no-partitions", plan.partitions, "Do not look for partitions");
  command.add_option("--engine", arguments->engine, "auto, io_uring or threads")
      ->check(CLI::IsMember({"auto", "io_uring", "threads"}))
      ->capture_default_str();
  command
      .add_option("--fault", plan.fault_rules,
                  "For tests: fail, delay or suspend requests, as in read_aio:nth=3:errno=EIO")
      ->allow_extra_args(false)
      ->type_name("RULE");
  command.add_flag("--foreground", plan.foreground,
                   "Serve in this process, messages on stderr; tells systemd when it is ready");
  command.add_option("--pid-file", plan.pid_file, "Write the server's PID there while it runs");
  command
      .add_option(
          "--qmp", arguments->command_socket,
          "Take commands at this socket, as 'penstock daemon' does; 'none': nowhere (default:"
          " PID.qmp in the user's runtime directory)")
      ->check([](const std::string& path) {
        return std::string(path.empty() ? "takes the path of a socket, or 'none'" : "");
      })
      ->type_name("PATH");
  command.callback([arguments, &exit_status] { exit_status = run(*arguments); });
}

}  // namespace penstock
