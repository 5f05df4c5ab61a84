// SPDX-License-Identifier: Apache-2.0
#include "control/qmp/iothread_commands.h"

#include <algorithm>
#include <cerrno>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "control/daemon_state.h"
#include "control/iothread_removal.h"

namespace penstock {
namespace {

using nlohmann::json;

absl::StatusOr<std::vector<std::string>> read_ids(const json& list) {
  std::vector<std::string> ids;
  for (const json& each : list) {
    if (!each.is_string()) {
      return errno_message(EINVAL,
                           "Invalid parameter type for 'iothreads', expected: array of strings");
    }
    std::string id = each.get<std::string>();
    if (std::find(ids.begin(), ids.end(), id) != ids.end()) {
      return errno_message(EINVAL, "The iothread '" + id + "' is named twice: once is enough");
    }
    ids.push_back(std::move(id));
  }
  return ids;
}

absl::StatusOr<json> co_set_export_iothreads(Daemon& daemon,
                                             const json& arguments) CONTROL_COROUTINE_CODE;
absl::StatusOr<json> co_set_export_iothreads(Daemon& daemon, const json& arguments) {
  const absl::StatusOr<std::vector<std::string>> ids = read_ids(arguments.at("iothreads"));
  if (!ids.ok()) return ids.status();
  return nothing_or(daemon.exports.co_set_iothreads(arguments.at("id").get<std::string>(), *ids));
}

absl::StatusOr<json> co_iothread_del(Daemon& daemon, const json& arguments) CONTROL_COROUTINE_CODE;
absl::StatusOr<json> co_iothread_del(Daemon& daemon, const json& arguments) {
  std::optional<std::string> move_to;
  if (const auto found = arguments.find("move-to"); found != arguments.end()) {
    move_to = found->get<std::string>();
  }
  return nothing_or(co_remove_iothread(daemon, arguments.at("id").get<std::string>(), move_to));
}

constexpr QmpArgument kSetArguments[] = {
    {"id", QmpType::kString, true, "the export"},
    {"iothreads", QmpType::kArray, true,
     "the ids of the iothreads that serve it from now on; none: some of the daemon's own"},
};
constexpr QmpArgument kDelArguments[] = {
    {"id", QmpType::kString, true, "the iothread"},
    {"move-to", QmpType::kString, false,
     "the iothread that its users move to (an export's others, or the daemon's own; nodes go home"
     " to the control thread)"},
};

constexpr QmpCommand kCommands[] = {
    {"x-penstock-export-set-iothreads", "Moves an export to other iothreads while it is used.",
     kSetArguments, false, co_set_export_iothreads},
    {"x-penstock-iothread-del", "Removes an iothread, whose users move to others first.",
     kDelArguments, false, co_iothread_del},
};

}  // namespace

std::span<const QmpCommand> iothread_commands() { return kCommands; }

}  // namespace penstock
