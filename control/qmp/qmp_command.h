// SPDX-License-Identifier: Apache-2.0
// One command of the control socket, as the table describes it: for dispatch, for query-commands
// and for the documentation.
//
// Ownership: constants.
// Threads: handlers run as coroutines of the control thread and may wait; others run meanwhile.
// Errors: a handler's absl::Status becomes a QMP error: class GenericError and the text, unless
//   qmp_error() gave it another class.
// Invariants: names are QEMU's where it has the command. A handler sees only arguments that the
//   table names, each of the type that the table says; required ones are there.
#pragma once

#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "base/thread_roles.h"
#include "nlohmann/json.hpp"

namespace penstock {

class Daemon;

// kNumber is an integer: sizes, rates.
enum class QmpType : uint8_t { kString, kNumber, kBool, kObject, kArray, kAny };

struct QmpArgument {
  const char* name;
  QmpType type;
  bool required;
  const char* help;  // a phrase
};

struct QmpCommand {
  const char* name;
  const char* help;  // a sentence
  std::span<const QmpArgument> arguments;
  bool open_ended = false;  // more arguments than the table names are the handler's own business
                            // (blockdev-add: the driver's options)
  // A CONTROL_COROUTINE_CODE function; a pointer cannot say so.
  absl::StatusOr<nlohmann::json> (*co_run)(Daemon& daemon, const nlohmann::json& arguments);
};

// An error of a class beside GenericError ("DeviceNotFound", "CommandNotFound", ...).
absl::Status qmp_error(int error_number, const std::string& error_class, const std::string& text);
// The class of an error; "GenericError" by default.
std::string qmp_error_class(const absl::Status& status);
// {"error": {"class": ..., "desc": ...}}
nlohmann::json qmp_error_reply(const absl::Status& status);

// What a command answers that has nothing to tell: {}, or its error.
absl::StatusOr<nlohmann::json> nothing_or(const absl::Status& status);

// The name that QEMU's errors give the type.
const char* qmp_type_name(QmpType type);

// EINVAL with QEMU's text if the arguments are not those that the table names.
absl::Status check_qmp_arguments(const QmpCommand& command, const nlohmann::json& arguments);

}  // namespace penstock
