// SPDX-License-Identifier: Apache-2.0
#include "control/options/option_types.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/printable_text.h"
#include "base/status.h"

namespace penstock {
namespace {

using Json = nlohmann::json;

enum class Kind : uint8_t { kSwitch, kNumber, kSize };

struct NamedKind {
  std::string_view name;
  Kind kind;
};

// In alphabetical order.
constexpr NamedKind kOptions[] = {
    {"accept-lost-tables", Kind::kSwitch},
    {"align", Kind::kSize},
    {"always", Kind::kSwitch},
    {"auto-read-only", Kind::kSwitch},
    {"delay-ns", Kind::kNumber},
    {"direct", Kind::kSwitch},
    {"force-share", Kind::kSwitch},
    {"latency-ns", Kind::kNumber},
    {"length", Kind::kSize},
    {"no-flush", Kind::kSwitch},
    {"nth", Kind::kNumber},
    {"offset", Kind::kSize},
    {"once", Kind::kSwitch},
    {"poll-max-ns", Kind::kNumber},
    {"read-only", Kind::kSwitch},
    {"read-zeroes", Kind::kSwitch},
    {"size", Kind::kSize},
};

absl::Status expects(const std::string& path, const char* what) {
  return errno_message(EINVAL,
                       "Parameter '" + printable_text(path, kLongestQuote) + "' expects " + what);
}

std::optional<bool> parse_switch(std::string_view text) {
  if (text == "on" || text == "yes" || text == "true" || text == "y") return true;
  if (text == "off" || text == "no" || text == "false" || text == "n") return false;
  return std::nullopt;
}

struct Digits {
  uint64_t value = 0;
  std::string_view rest;
};

// Decimal, or hexadecimal after "0x".
std::optional<Digits> parse_digits(std::string_view text) {
  const bool is_hexadecimal = text.starts_with("0x") || text.starts_with("0X");
  if (is_hexadecimal) text.remove_prefix(2);
  Digits digits;
  const char* const end = text.data() + text.size();
  const auto read = std::from_chars(text.data(), end, digits.value, is_hexadecimal ? 16 : 10);
  if (read.ec != std::errc() || digits.value > uint64_t{INT64_MAX}) return std::nullopt;
  digits.rest = std::string_view(read.ptr, static_cast<size_t>(end - read.ptr));
  return digits;
}

std::optional<int64_t> parse_number(std::string_view text) {
  const bool is_negative = text.starts_with('-');
  const auto digits = parse_digits(is_negative ? text.substr(1) : text);
  if (!digits || !digits->rest.empty()) return std::nullopt;
  const auto value = static_cast<int64_t>(digits->value);
  return is_negative ? -value : value;
}

// Bytes, or a multiple: "64k", "1M", "2G".
std::optional<int64_t> parse_size(std::string_view text) {
  const auto digits = parse_digits(text);
  if (!digits) return std::nullopt;
  if (digits->rest.empty()) return static_cast<int64_t>(digits->value);
  constexpr std::string_view kUnits = "BKMGTPE";
  const char unit = digits->rest.front();
  const size_t power =
      kUnits.find(unit >= 'a' && unit <= 'z' ? static_cast<char>(unit - 'a' + 'A') : unit);
  if (power == std::string_view::npos || digits->rest.size() > 1) return std::nullopt;
  const uint64_t factor = uint64_t{1} << (10 * power);
  if (digits->value > uint64_t{INT64_MAX} / factor) return std::nullopt;
  return static_cast<int64_t>(digits->value * factor);
}

absl::Status convert(Kind kind, const std::string& path, Json& value) {
  if (!value.is_string()) return absl::OkStatus();
  const std::string text = value.get<std::string>();
  if (kind == Kind::kSwitch) {
    const auto state = parse_switch(text);
    if (!state) return expects(path, "'on' or 'off'");
    value = *state;
    return absl::OkStatus();
  }
  const auto number = kind == Kind::kSize ? parse_size(text) : parse_number(text);
  if (!number) return expects(path, kind == Kind::kSize ? "a size" : "integer");
  value = *number;
  return absl::OkStatus();
}

bool is_throttle_limit(std::string_view name) {
  if (name.starts_with("x-")) name.remove_prefix(2);
  return name.starts_with("iops-") || name.starts_with("bps-");
}

std::optional<Kind> kind_of(std::string_view name) {
  if (is_throttle_limit(name)) return Kind::kNumber;
  const auto* const found =
      std::find_if(std::begin(kOptions), std::end(kOptions),
                   [&](const NamedKind& option) { return option.name == name; });
  if (found == std::end(kOptions)) return std::nullopt;
  return found->kind;
}

absl::Status give_types(Json& value, const std::string& path) {
  const std::string prefix = path.empty() ? "" : path + ".";
  if (value.is_array()) {
    for (size_t i = 0; i < value.size(); ++i) {
      const auto given = give_types(value[i], prefix + std::to_string(i));
      if (!given.ok()) return given;
    }
  }
  if (!value.is_object()) return absl::OkStatus();
  for (auto& [name, below] : value.items()) {
    absl::Status given = give_types(below, prefix + name);
    if (const auto kind = kind_of(name); kind && given.ok()) {
      given = convert(*kind, prefix + name, below);
    }
    if (!given.ok()) return given;
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status give_argument_types(const QmpCommand& command, Json& arguments) {
  for (const QmpArgument& argument : command.arguments) {
    const auto given = arguments.find(argument.name);
    if (given == arguments.end()) continue;
    absl::Status status;
    if (argument.type == QmpType::kBool) status = convert(Kind::kSwitch, argument.name, *given);
    if (argument.type == QmpType::kNumber) status = convert(Kind::kNumber, argument.name, *given);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status give_option_types(Json& options) { return give_types(options, ""); }

}  // namespace penstock
