// SPDX-License-Identifier: Apache-2.0
#include "control/storage_daemon.h"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include "base/printable_text.h"
#include "base/status.h"
#include "control/daemon_state.h"
#include "control/options/chardev_options.h"
#include "control/options/keyval.h"
#include "control/options/option_types.h"
#include "control/qmp/command_table.h"
#include "iothreads/control_thread.h"
#include "iothreads/coroutine.h"

namespace penstock {
namespace {

using nlohmann::json;
using Kind = StorageDaemonOption::Kind;

absl::Status invalid(const std::string& text) { return errno_message(EINVAL, text); }

bool is_json(const std::string& argument) { return argument.starts_with('{'); }

std::string in_quotes(const std::string& text) {
  return "'" + printable_text(text, kLongestQuote) + "'";
}

// The argument as it is in JSON; values of key=value options are strings yet.
absl::StatusOr<json> read_argument(const std::string& argument, const std::string& implied_key) {
  return is_json(argument) ? parse_json_object(argument) : parse_keyval(argument, implied_key);
}

absl::Status co_run_command(Daemon& daemon, const std::string& name,
                            const json& arguments) CONTROL_COROUTINE_CODE;
absl::Status co_run_command(Daemon& daemon, const std::string& name, const json& arguments) {
  return co_run_qmp_command(daemon, name, arguments).status();
}

absl::Status co_add_blockdev(DaemonSetup& setup,
                             const std::string& argument) CONTROL_COROUTINE_CODE;
absl::Status co_add_blockdev(DaemonSetup& setup, const std::string& argument) {
  absl::StatusOr<json> options = read_argument(argument, "driver");
  if (!options.ok()) return options.status();
  if (!is_json(argument)) {
    if (const auto typed = give_option_types(*options); !typed.ok()) return typed;
  }
  return co_run_command(setup.daemon, "blockdev-add", *options);
}

absl::Status co_add_object(DaemonSetup& setup, const std::string& argument) CONTROL_COROUTINE_CODE;
absl::Status co_add_object(DaemonSetup& setup, const std::string& argument) {
  absl::StatusOr<json> options = read_argument(argument, "qom-type");
  if (!options.ok()) return options.status();
  if (!is_json(argument)) {
    if (const auto typed = give_option_types(*options); !typed.ok()) return typed;
  }
  return co_run_command(setup.daemon, "object-add", *options);
}

absl::Status refuse_other_exports(const json& options) {
  const auto type = options.find("type");
  if (type == options.end() || !type->is_string() || *type == "fuse") return absl::OkStatus();
  return errno_message(ENOTSUP, "Parameter 'type' does not accept value " +
                                    in_quotes(type->get<std::string>()) +
                                    ": exports are files here, of type 'fuse'. Let "
                                    "qemu-storage-daemon serve others.");
}

absl::Status co_add_export(DaemonSetup& setup, const std::string& argument) CONTROL_COROUTINE_CODE;
absl::Status co_add_export(DaemonSetup& setup, const std::string& argument) {
  constexpr char kCommand[] = "block-export-add";
  absl::StatusOr<json> options = read_argument(argument, "type");
  if (!options.ok()) return options.status();
  if (const auto fuse = refuse_other_exports(*options); !fuse.ok()) return fuse;
  if (!is_json(argument)) {
    const auto typed = give_argument_types(*find_qmp_command(kCommand), *options);
    if (!typed.ok()) return typed;
  }
  return co_run_command(setup.daemon, kCommand, *options);
}

Chardev* find_chardev(const DaemonSetup& setup, const std::string& id) {
  const auto found = std::find_if(setup.chardevs.begin(), setup.chardevs.end(),
                                  [&](const auto& chardev) { return chardev->id() == id; });
  return found == setup.chardevs.end() ? nullptr : found->get();
}

absl::Status co_add_chardev(DaemonSetup& setup, const std::string& argument,
                            bool in_background) CONTROL_COROUTINE_CODE;
absl::Status co_add_chardev(DaemonSetup& setup, const std::string& argument, bool in_background) {
  const absl::StatusOr<ChardevOptions> options = parse_chardev(argument);
  if (!options.ok()) return options.status();
  if (find_chardev(setup, options->id) != nullptr) {
    return errno_message(EEXIST, "Chardev with id " + in_quotes(options->id) + " already exists");
  }
  if (options->kind == ChardevOptions::Kind::kStdio) {
    if (in_background) return invalid("cannot use stdio with --daemonize");
    for (const auto& other : setup.chardevs) {
      if (other->is_stdio())
        return errno_message(EBUSY, "cannot use stdio by multiple character devices");
    }
  }
  absl::StatusOr<std::unique_ptr<Chardev>> chardev = Chardev::co_open(*options, setup.daemon.quit);
  if (!chardev.ok()) return chardev.status();
  setup.chardevs.push_back(*std::move(chardev));
  return absl::OkStatus();
}

// Arguments of --monitor, as the schema of a command.
const QmpCommand& monitor_schema() {
  static constexpr QmpArgument kArguments[] = {
      {"chardev", QmpType::kString, true, "where its clients come from"},
      {"id", QmpType::kString, false, "accepted"},
      {"mode", QmpType::kString, false, "'control'"},
      {"pretty", QmpType::kBool, false, "messages over several lines"},
  };
  static constexpr QmpCommand kSchema = {"--monitor", "", kArguments, false, nullptr};
  return kSchema;
}

absl::Status add_monitor(DaemonSetup& setup, const std::string& argument) {
  absl::StatusOr<json> options = read_argument(argument, "chardev");
  if (!options.ok()) return options.status();
  if (!is_json(argument)) {
    const auto typed = give_argument_types(monitor_schema(), *options);
    if (!typed.ok()) return typed;
  }
  if (const auto fit = check_qmp_arguments(monitor_schema(), *options); !fit.ok()) return fit;
  const std::string mode = options->value("mode", "control");
  if (mode != "control") {
    return errno_message(ENOTSUP, "Parameter 'mode' does not accept value " + in_quotes(mode) +
                                      ": monitors speak QMP, which is 'control'");
  }
  const std::string id = options->at("chardev").get<std::string>();
  Chardev* const chardev = find_chardev(setup, id);
  if (chardev == nullptr) {
    return errno_message(
        ENOENT, "chardev " + in_quotes(id) + " not found: give --chardev before its --monitor");
  }
  const std::string socket_file = chardev->socket_file();
  if (setup.daemon.socket.empty() && !socket_file.empty()) {
    std::error_code error;
    setup.daemon.socket = std::filesystem::absolute(socket_file, error).string();
    if (error) return errno_status(error.value(), "looking for the folder of " + socket_file);
  }
  return chardev->claim_for_monitor(options->value("pretty", false));
}

absl::Status co_take(DaemonSetup& setup, const StorageDaemonOption& option,
                     bool in_background) CONTROL_COROUTINE_CODE;
absl::Status co_take(DaemonSetup& setup, const StorageDaemonOption& option, bool in_background) {
  switch (option.kind) {
    case Kind::kBlockdev:
      return co_add_blockdev(setup, option.argument);
    case Kind::kChardev:
      return co_add_chardev(setup, option.argument, in_background);
    case Kind::kExport:
      return co_add_export(setup, option.argument);
    case Kind::kMonitor:
      return add_monitor(setup, option.argument);
    case Kind::kObject:
      return co_add_object(setup, option.argument);
    case Kind::kNbdServer:
      break;
  }
  return errno_message(ENOTSUP,
                       "there is no NBD server here: exports are files, by --export fuse. Let "
                       "qemu-storage-daemon serve NBD.");
}

}  // namespace

std::vector<StartStep> storage_daemon_steps(const StorageDaemonPlan& plan) {
  std::vector<StartStep> steps;
  for (const StorageDaemonOption& option : plan.options) {
    steps.push_back([option, in_background = plan.in_background](DaemonSetup& setup) {
      assert_in_coroutine();
      assert_control_thread();
      return annotate(co_take(setup, option, in_background), option.name + " " + option.argument);
    });
  }
  return steps;
}

}  // namespace penstock
