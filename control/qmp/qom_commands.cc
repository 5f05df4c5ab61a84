// SPDX-License-Identifier: Apache-2.0
#include "control/qmp/qom_commands.h"

#include <cerrno>
#include <memory>
#include <string>
#include <string_view>

#include "base/printable_text.h"
#include "base/status.h"
#include "control/daemon_state.h"
#include "drivers/throttle/throttle_groups.h"

namespace penstock {
namespace {

using nlohmann::json;

constexpr std::string_view kFolder = "/objects/";

absl::Status unknown_property(const std::string& path, const std::string& property,
                              const std::string& there_is) {
  return errno_message(EINVAL, "Property '" + printable_text(path, kLongestQuote) + "." +
                                   printable_text(property, kLongestQuote) +
                                   "' not found: " + there_is);
}

// The throttle group whose "limits" the arguments mean.
absl::StatusOr<std::shared_ptr<ThrottleGroup>> limits_owner(Daemon& daemon, const json& arguments)
    GLOBAL_STATE_CODE;
absl::StatusOr<std::shared_ptr<ThrottleGroup>> limits_owner(Daemon& daemon, const json& arguments) {
  const std::string path = arguments.at("path").get<std::string>();
  const std::string property = arguments.at("property").get<std::string>();
  const std::string id = path.starts_with(kFolder) ? path.substr(kFolder.size()) : path;
  std::shared_ptr<ThrottleGroup> group = throttle_groups(daemon.drivers).find(id);
  if (group == nullptr && daemon.iothreads.has(id)) {
    return unknown_property(path, property, "an iothread keeps the properties it was made with");
  }
  if (group == nullptr) {
    return qmp_error(ENOENT, "DeviceNotFound",
                     "Device '" + printable_text(path, kLongestQuote) +
                         "' not found: a path is '/objects/' and the id of an object");
  }
  if (property != "limits") {
    return unknown_property(path, property, "a throttle-group has 'limits'");
  }
  return group;
}

absl::StatusOr<json> co_qom_get(Daemon& daemon, const json& arguments) CONTROL_COROUTINE_CODE;
absl::StatusOr<json> co_qom_get(Daemon& daemon, const json& arguments) {
  const auto group = limits_owner(daemon, arguments);
  if (!group.ok()) return group.status();
  return throttle_limits_to_json((*group)->limits());
}

absl::StatusOr<json> co_qom_set(Daemon& daemon, const json& arguments) CONTROL_COROUTINE_CODE;
absl::StatusOr<json> co_qom_set(Daemon& daemon, const json& arguments) {
  const auto group = limits_owner(daemon, arguments);
  if (!group.ok()) return group.status();
  const auto limits = throttle_limits_from_json(arguments.at("value"), (*group)->limits());
  if (!limits.ok()) return limits.status();
  (*group)->set_limits(*limits);
  return json::object();
}

constexpr QmpArgument kGetArguments[] = {
    {"path", QmpType::kString, true, "the object: '/objects/ID'"},
    {"property", QmpType::kString, true, "'limits' of a throttle-group"},
};
constexpr QmpArgument kSetArguments[] = {
    {"path", QmpType::kString, true, "the object: '/objects/ID'"},
    {"property", QmpType::kString, true, "'limits' of a throttle-group"},
    {"value", QmpType::kAny, true, "limits by QEMU's names; those not named stay, 0 is no limit"},
};

constexpr QmpCommand kCommands[] = {
    {"qom-get", "Tells a property of an object.", kGetArguments, false, co_qom_get},
    {"qom-set", "Changes a property of an object; what waits heeds it.", kSetArguments, false,
     co_qom_set},
};

}  // namespace

std::span<const QmpCommand> qom_commands() { return kCommands; }

}  // namespace penstock
