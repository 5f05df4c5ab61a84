// SPDX-License-Identifier: Apache-2.0
#include "control/qmp/qmp_command.h"

#include "absl/strings/cord.h"
#include "absl/strings/string_view.h"
#include "base/printable_text.h"
#include "base/status.h"

namespace penstock {
namespace {

constexpr char kClassPayload[] = "penstock/qmp-class";
constexpr char kGenericError[] = "GenericError";

bool fits(QmpType type, const nlohmann::json& value) {
  switch (type) {
    case QmpType::kString:
      return value.is_string();
    case QmpType::kNumber:
      return value.is_number_integer();
    case QmpType::kBool:
      return value.is_boolean();
    case QmpType::kObject:
      return value.is_object();
    case QmpType::kArray:
      return value.is_array();
    case QmpType::kAny:
      return true;
  }
  return false;
}

const QmpArgument* find_argument(const QmpCommand& command, const std::string& name) {
  for (const QmpArgument& argument : command.arguments) {
    if (name == argument.name) return &argument;
  }
  return nullptr;
}

}  // namespace

const char* qmp_type_name(QmpType type) {
  switch (type) {
    case QmpType::kString:
      return "string";
    case QmpType::kNumber:
      return "integer";
    case QmpType::kBool:
      return "boolean";
    case QmpType::kObject:
      return "object";
    case QmpType::kArray:
      return "array";
    case QmpType::kAny:
      return "value";
  }
  return "value";
}

absl::StatusOr<nlohmann::json> nothing_or(const absl::Status& status) {
  if (!status.ok()) return status;
  return nlohmann::json::object();
}

absl::Status qmp_error(int error_number, const std::string& error_class, const std::string& text) {
  absl::Status status = errno_message(error_number, text);
  status.SetPayload(kClassPayload, absl::Cord(absl::string_view(error_class)));
  return status;
}

std::string qmp_error_class(const absl::Status& status) {
  const auto payload = status.GetPayload(kClassPayload);
  return payload ? std::string(*payload) : kGenericError;
}

nlohmann::json qmp_error_reply(const absl::Status& status) {
  return {{"error", {{"class", qmp_error_class(status)}, {"desc", status_text(status)}}}};
}

absl::Status check_qmp_arguments(const QmpCommand& command, const nlohmann::json& arguments) {
  for (const QmpArgument& argument : command.arguments) {
    const auto given = arguments.find(argument.name);
    if (given == arguments.end()) {
      if (!argument.required) continue;
      return errno_message(EINVAL, std::string("Parameter '") + argument.name + "' is missing");
    }
    if (!fits(argument.type, *given)) {
      return errno_message(EINVAL, std::string("Invalid parameter type for '") + argument.name +
                                       "', expected: " + qmp_type_name(argument.type));
    }
  }
  if (command.open_ended) return absl::OkStatus();
  for (const auto& [name, value] : arguments.items()) {
    if (find_argument(command, name) == nullptr) {
      return errno_message(EINVAL,
                           "Parameter '" + printable_text(name, kLongestQuote) + "' is unexpected");
    }
  }
  return absl::OkStatus();
}

}  // namespace penstock
