// SPDX-License-Identifier: Apache-2.0
#include "control/qmp/export_commands.h"

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>

#include "base/status.h"
#include "control/daemon_state.h"
#include "control/node_export.h"
#include "control/qmp/object_commands.h"
#include "iothreads/control_thread.h"
#include "iothreads/coroutine.h"

namespace penstock {
namespace {

using nlohmann::json;

std::string string_of(const json& arguments, const char* name, const std::string& fallback) {
  const auto found = arguments.find(name);
  return found == arguments.end() ? fallback : found->get<std::string>();
}

bool bool_of(const json& arguments, const char* name) {
  const auto found = arguments.find(name);
  return found != arguments.end() && found->get<bool>();
}

absl::Status check_type(const json& arguments) {
  const std::string type = arguments.at("type").get<std::string>();
  if (type != "fuse") {
    return errno_message(EINVAL, "Invalid parameter '" + type + "' for 'type': exports are 'fuse'");
  }
  if (bool_of(arguments, "writethrough")) {
    return errno_message(EINVAL,
                         "Parameter 'writethrough' must be false: files of an export are"
                         " written through by their users, with O_SYNC or fsync");
  }
  return absl::OkStatus();
}

// "iothread" is one id, or an array of them.
absl::StatusOr<std::vector<std::string>> read_iothreads(const json& arguments) {
  std::vector<std::string> ids;
  const auto found = arguments.find("iothread");
  if (found == arguments.end()) return ids;
  const json list = found->is_array() ? *found : json::array({*found});
  if (list.empty()) {
    return errno_message(EINVAL,
                         "The list of iothreads must not be empty: name one, or leave it out");
  }
  for (const json& each : list) {
    if (!each.is_string()) {
      return errno_message(
          EINVAL, "Invalid parameter type for 'iothread', expected: string or array of strings");
    }
    std::string id = each.get<std::string>();
    if (std::find(ids.begin(), ids.end(), id) != ids.end()) {
      return errno_message(EINVAL, "The iothread '" + id + "' is named twice: once is enough");
    }
    ids.push_back(std::move(id));
  }
  return ids;
}

absl::StatusOr<NodeExportOptions::AllowOther> read_allow_other(const json& arguments) {
  const std::string word = string_of(arguments, "allow-other", "auto");
  if (word == "off") return NodeExportOptions::AllowOther::kOff;
  if (word == "on") return NodeExportOptions::AllowOther::kOn;
  if (word == "auto") return NodeExportOptions::AllowOther::kAuto;
  return errno_message(
      EINVAL, "Invalid parameter '" + word + "' for 'allow-other': it is 'off', 'on' or 'auto'");
}

absl::StatusOr<NodeExportOptions> read_options(const json& arguments) {
  if (const absl::Status status = check_type(arguments); !status.ok()) return status;
  NodeExportOptions options;
  options.id = arguments.at("id").get<std::string>();
  if (const absl::Status status = check_object_id(options.id, "id"); !status.ok()) return status;
  options.node_name = arguments.at("node-name").get<std::string>();
  options.mount_point = arguments.at("mountpoint").get<std::string>();
  if (options.mount_point.empty()) {
    return errno_message(EINVAL, "Parameter 'mountpoint' is empty: name a directory or a file");
  }
  options.writable = bool_of(arguments, "writable");
  options.growable = bool_of(arguments, "growable");
  absl::StatusOr<NodeExportOptions::AllowOther> allow_other = read_allow_other(arguments);
  if (!allow_other.ok()) return allow_other.status();
  options.allow_other = *allow_other;
  absl::StatusOr<std::vector<std::string>> iothreads = read_iothreads(arguments);
  if (!iothreads.ok()) return iothreads.status();
  options.iothreads = *std::move(iothreads);
  return options;
}

absl::StatusOr<json> co_export_add(Daemon& daemon, const json& arguments) CONTROL_COROUTINE_CODE;
absl::StatusOr<json> co_export_add(Daemon& daemon, const json& arguments) {
  const absl::StatusOr<NodeExportOptions> options = read_options(arguments);
  if (!options.ok()) return options.status();
  const absl::Status status = daemon.exports.co_add(options->id, [&] {
    assert_in_coroutine();
    assert_control_thread();
    return NodeExport::co_start(daemon, *options, [&daemon, id = options->id] {
      assert_control_thread();
      daemon.exports.ended(id);
    });
  });
  return nothing_or(status);
}

absl::StatusOr<json> co_export_del(Daemon& daemon, const json& arguments) CONTROL_COROUTINE_CODE;
absl::StatusOr<json> co_export_del(Daemon& daemon, const json& arguments) {
  const std::string mode = string_of(arguments, "mode", "safe");
  if (mode != "safe" && mode != "hard") {
    return errno_message(EINVAL,
                         "Invalid parameter '" + mode + "' for 'mode': it is 'safe' or 'hard'");
  }
  const absl::Status status = daemon.exports.co_remove(
      arguments.at("id").get<std::string>(),
      mode == "safe" ? DaemonExport::Mode::kSafe : DaemonExport::Mode::kHard);
  return nothing_or(status);
}

absl::StatusOr<json> co_query_exports(Daemon& daemon, const json& arguments) CONTROL_COROUTINE_CODE;
absl::StatusOr<json> co_query_exports(Daemon& daemon, const json& /*arguments*/) {
  json result = json::array();
  for (const ExportRegistry::Facts& each : daemon.exports.list()) {
    if (each.of == nullptr) continue;
    result.push_back({{"id", each.id},
                      {"type", each.of->type()},
                      {"node-name", each.of->node_name()},
                      {"shutting-down", each.shutting_down}});
  }
  return result;
}

constexpr QmpArgument kAddArguments[] = {
    {"type", QmpType::kString, true, "'fuse'"},
    {"id", QmpType::kString, true, "the name of the export"},
    {"node-name", QmpType::kString, true, "the node to show"},
    {"mountpoint", QmpType::kString, true,
     "a regular file, which becomes the disk, or a directory, in which the file 'disk' appears"},
    {"writable", QmpType::kBool, false, "let the file be written (false)"},
    {"growable", QmpType::kBool, false, "let writes and truncate change the size (false)"},
    {"allow-other", QmpType::kString, false,
     "let other users in: 'on', 'off', 'auto' if the system permits (auto)"},
    {"iothread", QmpType::kAny, false,
     "the iothread that serves it, or an array of them (some of the daemon's own)"},
    {"fixed-iothread", QmpType::kBool, false, "accepted: an export keeps its iothreads"},
    {"writethrough", QmpType::kBool, false, "false"},
};
constexpr QmpArgument kDelArguments[] = {
    {"id", QmpType::kString, true, "the name of the export"},
    {"mode", QmpType::kString, false,
     "'safe' refuses while files are open, 'hard' takes them away (safe)"},
};

constexpr QmpCommand kCommands[] = {
    {"block-export-add", "Mounts a node as a raw file.", kAddArguments, false, co_export_add},
    {"block-export-del", "Unmounts an export. BLOCK_EXPORT_DELETED tells when all is released.",
     kDelArguments, false, co_export_del},
    {"query-block-exports", "Lists the exports.", {}, false, co_query_exports},
};

}  // namespace

std::span<const QmpCommand> export_commands() { return kCommands; }

}  // namespace penstock
