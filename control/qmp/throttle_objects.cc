// SPDX-License-Identifier: Apache-2.0
#include "control/qmp/throttle_objects.h"

#include <cerrno>
#include <memory>

#include "base/status.h"
#include "control/daemon_state.h"
#include "drivers/throttle/throttle_groups.h"

namespace penstock {
namespace {

using nlohmann::json;

absl::StatusOr<ThrottleLimits> read_properties(const json& properties) {
  json flat = json::object();
  ThrottleLimits limits;
  for (const auto& [name, value] : properties.items()) {
    if (name == "limits") {
      const auto read = throttle_limits_from_json(value, limits);
      if (!read.ok()) return read;
      limits = *read;
    } else if (name.starts_with("x-")) {
      flat[name.substr(2)] = value;
    } else {
      return errno_message(
          EINVAL, "Parameter '" + name + "' is unexpected: a throttle-group takes 'limits'");
    }
  }
  return throttle_limits_from_json(flat, limits);
}

absl::Status co_add_group(Daemon& daemon, const std::string& id,
                          const json& properties) CONTROL_COROUTINE_CODE;
absl::Status co_add_group(Daemon& daemon, const std::string& id, const json& properties) {
  const auto limits = read_properties(properties);
  if (!limits.ok()) return limits.status();
  return throttle_groups(daemon.drivers).add(id, *limits);
}

absl::Status co_remove_group(Daemon& daemon, const std::string& id) CONTROL_COROUTINE_CODE;
absl::Status co_remove_group(Daemon& daemon, const std::string& id) {
  return throttle_groups(daemon.drivers).remove(id);
}

bool has_group(Daemon& daemon, const std::string& id) GLOBAL_STATE_CODE;
bool has_group(Daemon& daemon, const std::string& id) {
  return throttle_groups(daemon.drivers).find(id) != nullptr;
}

absl::StatusOr<json> co_set_throttle(Daemon& daemon, const json& arguments) CONTROL_COROUTINE_CODE;
absl::StatusOr<json> co_set_throttle(Daemon& daemon, const json& arguments) {
  const std::string name = arguments.at("group").get<std::string>();
  const std::shared_ptr<ThrottleGroup> group = throttle_groups(daemon.drivers).find(name);
  if (group == nullptr) {
    return errno_message(ENOENT, "Throttle group '" + name + "' does not exist: " +
                                     "x-penstock-query-throttle lists those that do");
  }
  const auto limits = throttle_limits_from_json(arguments.at("limits"), group->limits());
  if (!limits.ok()) return limits.status();
  group->set_limits(*limits);
  return json::object();
}

absl::StatusOr<json> co_query_throttle(Daemon& daemon,
                                       const json& arguments) CONTROL_COROUTINE_CODE;
absl::StatusOr<json> co_query_throttle(Daemon& daemon, const json& /*arguments*/) {
  ThrottleGroups& groups = throttle_groups(daemon.drivers);
  json result = json::array();
  for (const std::string& name : groups.names()) {
    const std::shared_ptr<ThrottleGroup> group = groups.find(name);
    result.push_back({{"id", name},
                      {"limits", throttle_limits_to_json(group->limits())},
                      {"nodes", group->users()},
                      {"waiting", group->waiting()}});
  }
  return result;
}

constexpr QmpArgument kSetArguments[] = {
    {"group", QmpType::kString, true, "the throttle group's id"},
    {"limits", QmpType::kObject, true,
     "limits by QEMU's names; those not named stay, 0 is no limit"},
};

}  // namespace

const ObjectKind& throttle_group_kind() {
  static constexpr ObjectKind kKind = {"throttle-group", co_add_group, co_remove_group, has_group};
  return kKind;
}

std::span<const QmpCommand> throttle_commands() {
  static const QmpCommand kCommands[] = {
      {"x-penstock-query-throttle",
       "Lists the throttle groups, their limits and their nodes.",
       {},
       false,
       co_query_throttle},
      {"x-penstock-set-throttle", "Changes limits of a throttle group; what waits heeds them.",
       kSetArguments, false, co_set_throttle},
  };
  return kCommands;
}

}  // namespace penstock
