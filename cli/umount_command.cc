// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <string>

#include "CLI/CLI.hpp"
#include "cli/commands.h"
#include "cli/exit_status.h"
#include "control/unmount.h"

namespace penstock {
namespace {

constexpr char kFooter[] = R"(
Returns when the image is flushed and closed. A mount that is in use stays; the message names
the processes that use it.

Exit status: 0 unmounted and closed, 1 in use, not a mount, or closing the image failed,
2 wrong usage.)";

}  // namespace

void add_umount_command(CLI::App& program, int& exit_status) {
  const auto path = std::make_shared<std::string>();
  CLI::App& command = *program.add_subcommand("umount", "End a mount and wait until it is closed");
  command.alias("unmount");
  command.footer(kFooter);
  command.add_option("DIR", *path, "The mount point, or the file in it")->required();
  command.callback([path, &exit_status] { exit_status = report(unmount_and_wait(*path)); });
}

}  // namespace penstock
