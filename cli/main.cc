// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <string>

#include "CLI/CLI.hpp"
#include "base/malloc_limits.h"
#include "base/version.h"
#include "cli/commands.h"
#include "cli/exit_status.h"

namespace {

constexpr char kFooter[] = R"(
Examples:
  penstock mount disk.img ~/mnt       the disk's bytes are now in ~/mnt/disk, read-only
  penstock ls
  penstock umount ~/mnt               returns when the image is closed

While a disk is in use:
  penstock status --watch ~/mnt       what is read and written, and how fast
  penstock resize ~/mnt +10G
  penstock backup ~/mnt copy.img      the disk as it is now

'penstock COMMAND --help' shows a command's options. Exit status: 0 done, 1 failed,
2 wrong usage.)";

std::string describe(const CLI::ParseError& error, const CLI::App& program, int argc, char** argv) {
  // CLI11 would only miss a command.
  if (program.get_subcommands().empty() && argc > 1) {
    return std::string("there is no command or option '") + argv[1] + "'";
  }
  return error.what();
}

// The command that was named on the command line, for the advice after a wrong one.
std::string chosen_command(const CLI::App& program) {
  const auto chosen = program.get_subcommands();
  return chosen.empty() ? "" : " " + chosen.front()->get_name();
}

// What was not printed was not done: a script would go on with half of it.
int finish(int status) {
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return status;
  if (status == penstock::kDone) penstock::print_error("the output could not be written");
  return status == penstock::kDone ? penstock::kFailed : status;
}

}  // namespace

int main(int argc, char** argv) {
  penstock::limit_kept_memory();
  if (argc > 1 && argv[1] == std::string("storage-daemon")) {
    return finish(penstock::run_storage_daemon(argc - 1, argv + 1));
  }
  CLI::App program("Shows disk images as raw files, without root rights.", "penstock");
  program.footer(kFooter);
  program.set_version_flag("-V,--version", std::string("penstock ") + penstock::kVersion);
  program.require_subcommand(1);
  int exit_status = penstock::kDone;
  penstock::add_mount_command(program, exit_status);
  penstock::add_umount_command(program, exit_status);
  penstock::add_ls_command(program, exit_status);
  penstock::add_info_command(program, exit_status);
  penstock::add_check_command(program, exit_status);
  penstock::add_map_command(program, exit_status);
  penstock::add_status_command(program, exit_status);
  penstock::add_graph_command(program, exit_status);
  penstock::add_resize_command(program, exit_status);
  penstock::add_move_command(program, exit_status);
  penstock::add_iothread_command(program, exit_status);
  penstock::add_throttle_command(program, exit_status);
  penstock::add_filter_command(program, exit_status);
  penstock::add_close_command(program, exit_status);
  penstock::add_backup_command(program, exit_status);
  penstock::add_jobs_command(program, exit_status);
  penstock::add_daemon_command(program, exit_status);
  penstock::add_qmp_command(program, exit_status);
  penstock::add_storage_daemon_command(program);
  penstock::add_probe_command(program, exit_status);

  try {
    program.parse(argc, argv);
  } catch (const CLI::Success& request) {
    return finish(program.exit(request));  // --help or --version: prints it
  } catch (const CLI::ParseError& error) {
    penstock::print_error(describe(error, program, argc, argv) + "; see 'penstock" +
                          chosen_command(program) + " --help'");
    // The statuses of check are qemu-img's, where 2 says that the image is corrupt.
    return chosen_command(program) == " check" ? penstock::kFailed : penstock::kUsage;
  }
  return finish(exit_status);
}
