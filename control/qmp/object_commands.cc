// SPDX-License-Identifier: Apache-2.0
#include "control/qmp/object_commands.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/status.h"
#include "control/daemon_state.h"
#include "control/qmp/iothread_objects.h"
#include "control/qmp/object_kind.h"
#include "control/qmp/throttle_objects.h"

namespace penstock {
namespace {

using nlohmann::json;

const auto& object_kinds() {
  static const std::array<const ObjectKind*, 2> kKinds = {&iothread_kind(), &throttle_group_kind()};
  return kKinds;
}

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_id_character(char c) {
  return is_letter(c) || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
}

const ObjectKind* find_kind_of(Daemon& daemon, const std::string& id) GLOBAL_STATE_CODE;
const ObjectKind* find_kind_of(Daemon& daemon, const std::string& id) {
  for (const ObjectKind* kind : object_kinds()) {
    if (kind->has(daemon, id)) return kind;
  }
  return nullptr;
}

std::string names_of_kinds() {
  std::string result;
  for (const ObjectKind* kind : object_kinds()) {
    result += (result.empty() ? "'" : ", '") + std::string(kind->type) + "'";
  }
  return result;
}

absl::StatusOr<json> co_object_add(Daemon& daemon, const json& arguments) CONTROL_COROUTINE_CODE;
absl::StatusOr<json> co_object_add(Daemon& daemon, const json& arguments) {
  const std::string type = arguments.at("qom-type").get<std::string>();
  const std::string id = arguments.at("id").get<std::string>();
  const auto& kinds = object_kinds();
  const auto kind = std::find_if(kinds.begin(), kinds.end(),
                                 [&](const ObjectKind* each) { return each->type == type; });
  if (kind == kinds.end()) {
    return errno_message(
        EINVAL, "Invalid parameter '" + type + "' for 'qom-type': there are " + names_of_kinds());
  }
  if (const absl::Status status = check_object_id(id, "id"); !status.ok()) return status;
  if (find_kind_of(daemon, id) != nullptr) {
    return errno_message(EEXIST, "There is an object with the id '" + id +
                                     "' already: choose another, or remove it with object-del");
  }
  json properties = arguments;
  properties.erase("qom-type");
  properties.erase("id");
  return nothing_or((*kind)->co_add(daemon, id, properties));
}

absl::StatusOr<json> co_object_del(Daemon& daemon, const json& arguments) CONTROL_COROUTINE_CODE;
absl::StatusOr<json> co_object_del(Daemon& daemon, const json& arguments) {
  const std::string id = arguments.at("id").get<std::string>();
  const bool is_well_formed = check_object_id(id, "id").ok();
  const ObjectKind* const kind = is_well_formed ? find_kind_of(daemon, id) : nullptr;
  if (kind == nullptr) return errno_message(ENOENT, "object '" + id + "' not found");
  return nothing_or(annotate(kind->co_remove(daemon, id), "object '" + id + "' cannot be deleted"));
}

absl::StatusOr<json> co_query_iothreads(Daemon& daemon,
                                        const json& arguments) CONTROL_COROUTINE_CODE;
absl::StatusOr<json> co_query_iothreads(Daemon& daemon, const json& /*arguments*/) {
  json result = json::array();
  for (const IoThreadRegistry::Facts& thread : daemon.iothreads.list()) {
    // The last three are QEMU's, which clients may expect; here nothing is to be set by them.
    result.push_back({{"id", thread.id},
                      {"thread-id", thread.thread_id},
                      {"poll-max-ns", thread.poll_max.count()},
                      {"poll-grow", 0},
                      {"poll-shrink", 0},
                      {"aio-max-batch", 0}});
  }
  return result;
}

constexpr QmpArgument kAddArguments[] = {
    {"qom-type", QmpType::kString, true, "the type of object"},
    {"id", QmpType::kString, true, "the name of the new object"},
};
constexpr QmpArgument kDelArguments[] = {
    {"id", QmpType::kString, true, "the name of the object"},
};

constexpr QmpCommand kCommands[] = {
    {"object-add", "Makes an object, such as an iothread.", kAddArguments, true, co_object_add},
    {"object-del", "Removes an object that nobody uses.", kDelArguments, false, co_object_del},
    {"query-iothreads", "Lists the threads that serve requests.", {}, false, co_query_iothreads},
};

}  // namespace

std::span<const QmpCommand> object_commands() { return kCommands; }

absl::Status check_object_id(const std::string& id, const std::string& parameter) {
  if (!id.empty() && is_letter(id.front()) && std::all_of(id.begin(), id.end(), is_id_character)) {
    return absl::OkStatus();
  }
  return errno_message(EINVAL,
                       "Parameter '" + parameter +
                           "' expects an identifier: letters, digits, '-', '.', '_', starting with"
                           " a letter");
}

}  // namespace penstock
