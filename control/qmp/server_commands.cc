// SPDX-License-Identifier: Apache-2.0
#include "control/qmp/server_commands.h"

#include <cerrno>
#include <string>

#include "base/printable_text.h"
#include "base/status.h"
#include "control/daemon_state.h"
#include "control/qmp/command_table.h"
#include "control/qmp/qmp_version.h"

namespace penstock {
namespace {

absl::StatusOr<nlohmann::json> co_negotiate(Daemon&, const nlohmann::json& arguments) {
  const auto wanted = arguments.find("enable");
  if (wanted == arguments.end() || wanted->empty()) return nlohmann::json::object();
  const nlohmann::json& first = wanted->front();
  return errno_message(
      EINVAL,
      "there is no capability " +
          printable_text(first.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace),
                         kLongestQuote) +
          ": leave 'enable' out, or empty");
}

absl::StatusOr<nlohmann::json> co_query_commands(Daemon&, const nlohmann::json&) {
  nlohmann::json list = nlohmann::json::array();
  for (const QmpCommand* command : all_qmp_commands()) list.push_back({{"name", command->name}});
  return list;
}

absl::StatusOr<nlohmann::json> co_query_version(Daemon&, const nlohmann::json&) {
  return qmp_version();
}

absl::StatusOr<nlohmann::json> co_quit(Daemon& daemon, const nlohmann::json&) {
  daemon.quit.set();
  return nlohmann::json::object();
}

constexpr QmpArgument kNegotiationArguments[] = {
    {"enable", QmpType::kArray, false, "capabilities to use; the greeting lists them"},
};

constexpr QmpCommand kCommands[] = {
    {.name = "qmp_capabilities",
     .help = "Ends the negotiation: other commands and events follow.",
     .arguments = kNegotiationArguments,
     .co_run = co_negotiate},
    {.name = "query-commands",
     .help = "Lists the names of all commands.",
     .arguments = {},
     .co_run = co_query_commands},
    {.name = "query-version",
     .help = "Answers the QEMU release whose commands these follow, and this program's version.",
     .arguments = {},
     .co_run = co_query_version},
    {.name = "quit",
     .help = "Ends the server: exports are unmounted, images closed.",
     .arguments = {},
     .co_run = co_quit},
};

}  // namespace

std::span<const QmpCommand> server_commands() { return kCommands; }

}  // namespace penstock
