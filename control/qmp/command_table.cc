// SPDX-License-Identifier: Apache-2.0
#include "control/qmp/command_table.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/printable_text.h"
#include "control/qmp/blockdev_commands.h"
#include "control/qmp/export_commands.h"
#include "control/qmp/graph_commands.h"
#include "control/qmp/graph_query.h"
#include "control/qmp/iothread_commands.h"
#include "control/qmp/job_commands.h"
#include "control/qmp/job_start_commands.h"
#include "control/qmp/object_commands.h"
#include "control/qmp/qom_commands.h"
#include "control/qmp/reopen_commands.h"
#include "control/qmp/server_commands.h"
#include "control/qmp/stats_commands.h"
#include "control/qmp/throttle_objects.h"
#include "control/qmp/transaction_commands.h"

namespace penstock {
namespace {

using CommandGroup = std::span<const QmpCommand> (*)();

constexpr CommandGroup kGroups[] = {
    &iothread_commands, &blockdev_commands,    &export_commands,      &graph_commands,
    &object_commands,   &stats_commands,       &server_commands,      &throttle_commands,
    &reopen_commands,   &transaction_commands, &graph_query_commands, &qom_commands,
    &job_commands,      &block_job_commands,   &job_start_commands,
};

std::vector<const QmpCommand*> collect_commands() {
  std::vector<const QmpCommand*> commands;
  for (const CommandGroup group : kGroups) {
    for (const QmpCommand& command : group()) commands.push_back(&command);
  }
  std::sort(commands.begin(), commands.end(), [](const QmpCommand* a, const QmpCommand* b) {
    return std::strcmp(a->name, b->name) < 0;
  });
  return commands;
}

}  // namespace

const std::vector<const QmpCommand*>& all_qmp_commands() {
  static const auto* const commands = new std::vector<const QmpCommand*>(collect_commands());
  return *commands;
}

const QmpCommand* find_qmp_command(const std::string& name) {
  const std::vector<const QmpCommand*>& commands = all_qmp_commands();
  const auto found = std::lower_bound(
      commands.begin(), commands.end(), name,
      [](const QmpCommand* command, const std::string& wanted) { return command->name < wanted; });
  return found != commands.end() && (*found)->name == name ? *found : nullptr;
}

absl::StatusOr<nlohmann::json> co_run_qmp_command(Daemon& daemon, const std::string& name,
                                                  const nlohmann::json& arguments) {
  const QmpCommand* const command = find_qmp_command(name);
  if (command == nullptr) {
    return qmp_error(ENOENT, "CommandNotFound",
                     "The command " + printable_text(name, kLongestQuote) + " has not been found");
  }
  if (const absl::Status fit = check_qmp_arguments(*command, arguments); !fit.ok()) return fit;
  return command->co_run(daemon, arguments);
}

}  // namespace penstock
