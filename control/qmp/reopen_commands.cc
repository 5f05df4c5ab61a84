// SPDX-License-Identifier: Apache-2.0
#include "control/qmp/reopen_commands.h"

#include "control/blockdev_reopen.h"
#include "control/daemon_state.h"

namespace penstock {
namespace {

using Json = nlohmann::json;

absl::StatusOr<Json> co_blockdev_reopen(Daemon& daemon,
                                        const Json& arguments) CONTROL_COROUTINE_CODE {
  return nothing_or(co_reopen_blockdevs(daemon.graph, arguments.at("options")));
}

constexpr QmpArgument kReopenArguments[] = {
    {"options", QmpType::kArray, true,
     "whole descriptions as for blockdev-add; \"node-name\" says which node each is about"},
};

}  // namespace

std::span<const QmpCommand> reopen_commands() {
  static const QmpCommand kCommands[] = {
      {"blockdev-reopen", "Gives nodes in use new options and children, all of them or none.",
       kReopenArguments, false, co_blockdev_reopen},
  };
  return kCommands;
}

}  // namespace penstock
