// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "base/status.h"
#include "cli/commands.h"
#include "cli/exit_status.h"
#include "cli/target_options.h"

namespace penstock {
namespace {

constexpr char kFooter[] = R"(
TARGET is a mount point, an image, the id of an export or the name of a node; it can be left out
while only one disk is mounted. Requests go on meanwhile. 'penstock iothread ls' lists the threads
of a server, 'penstock iothread add' makes one.

Example:
  penstock move ~/mnt --iothreads io0,io1

Exit status: 0 done, 1 there is no such thread, or the disk cannot be moved, 2 wrong usage.)";

struct MoveArguments {
  TargetOptions target;
  std::vector<std::string> iothreads;
};

int run(const MoveArguments& arguments) {
  absl::StatusOr<Target> target = find_export_target(arguments.target);
  if (!target.ok()) return report(target.status());
  const auto done = target->server.client.execute(
      "x-penstock-export-set-iothreads",
      {{"id", target->export_id}, {"iothreads", arguments.iothreads}});
  return report(annotate(done.status(), target->name + " stays where it is"));
}

}  // namespace

void add_move_command(CLI::App& program, int& exit_status) {
  const auto arguments = std::make_shared<MoveArguments>();
  CLI::App& command =
      *program.add_subcommand("move", "Let other threads serve a disk, while it is in use");
  command.footer(kFooter);
  arguments->target.add_to(command);
  command.add_option("--iothreads,--iothread", arguments->iothreads, "The threads that serve it")
      ->type_name("ID[,ID...]")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->required();
  command.callback([arguments, &exit_status] { exit_status = run(*arguments); });
}

}  // namespace penstock
