// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <optional>
#include <string>

#include "CLI/CLI.hpp"
#include "base/status.h"
#include "cli/commands.h"
#include "cli/exit_status.h"
#include "cli/target_options.h"
#include "control/mount_registry.h"
#include "control/mount_table.h"

namespace penstock {
namespace {

constexpr char kFooter[] = R"(
TARGET is a mount point, an image, the id of an export or the name of a node. The disk is unmounted,
and its writes are flushed, when the command returns. The image of 'penstock mount' is then closed
and its server ends; a daemon lives on and keeps its nodes. A disk whose file is open stays, unless
--force takes it away from those who use it.

Example:
  penstock close ~/mnt

Exit status: 0 done, 1 in use, or what was written last could not be flushed, 2 wrong usage.)";

struct CloseArguments {
  TargetOptions target;
  bool force = false;
};

int run(const CloseArguments& arguments) {
  absl::StatusOr<Target> target = find_export_target(arguments.target);
  if (!target.ok()) return report(target.status());
  const std::string mount_point = target->shown().mount_point;
  const std::optional<MountEntry> entry = mount_at(mount_point);
  const uid_t owner = entry ? entry->user.value_or(::geteuid()) : ::geteuid();
  const std::optional<MountWatch> watch = MountWatch::find(mount_point, owner);
  const auto asked = target->server.client.execute(
      "block-export-del", {{"id", target->export_id}, {"mode", arguments.force ? "hard" : "safe"}});
  // A server that ends with its disk may have gone before it could answer.
  const bool has_gone = status_errno(asked.status()) == ESHUTDOWN;
  if (!asked.ok() && !(has_gone && watch)) {
    return report(annotate(asked.status(), target->name + " is not closed"));
  }
  return watch ? report(watch->wait_for_end()) : kDone;
}

}  // namespace

void add_close_command(CLI::App& program, int& exit_status) {
  const auto arguments = std::make_shared<CloseArguments>();
  CLI::App& command = *program.add_subcommand("close", "Flush and unmount a disk");
  command.footer(kFooter);
  arguments->target.add_to(command, TargetOptions::Presence::kRequired);
  command.add_flag("--force", arguments->force, "Also while its file is open");
  command.callback([arguments, &exit_status] { exit_status = run(*arguments); });
}

}  // namespace penstock
