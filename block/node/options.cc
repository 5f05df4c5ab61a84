// SPDX-License-Identifier: Apache-2.0
#include "block/node/options.h"

#include <cerrno>
#include <optional>

#include "base/byte_range.h"
#include "base/status.h"

namespace penstock {
namespace {

// "512", "64K", "1G": command lines give sizes as text.
std::optional<uint64_t> parse_size(const std::string& text) {
  uint64_t value = 0;
  size_t at = 0;
  for (; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at) {
    const auto shifted = checked_multiply(value, 10);
    if (!shifted) return std::nullopt;
    const auto next = checked_add(*shifted, static_cast<uint64_t>(text[at] - '0'));
    if (!next) return std::nullopt;
    value = *next;
  }
  if (at == 0) return std::nullopt;
  if (at == text.size()) return value;
  if (at + 1 != text.size()) return std::nullopt;
  static constexpr char kUnits[] = "bkmgtpe";
  const char unit = static_cast<char>(text[at] | 0x20);
  for (unsigned power = 0; kUnits[power] != '\0'; ++power) {
    if (kUnits[power] == unit) return checked_multiply(value, uint64_t{1} << (10 * power));
  }
  return std::nullopt;
}

}  // namespace

OptionReader::OptionReader(const NodeOptions& options)
    : driver_(options.driver), left_(options.driver_options) {}

nlohmann::json OptionReader::take_json(const std::string& name) {
  if (!left_.is_object()) return nullptr;
  const auto found = left_.find(name);
  if (found == left_.end()) return nullptr;
  nlohmann::json value = std::move(*found);
  left_.erase(found);
  return value;
}

absl::StatusOr<std::string> OptionReader::take_string(const std::string& name,
                                                      const std::string& fallback) {
  const nlohmann::json value = take_json(name);
  if (value.is_null()) return fallback;
  if (value.is_string()) return value.get<std::string>();
  return errno_message(EINVAL, "Option '" + name + "' of driver '" + driver_ +
                                   "' takes a text, not " + value.dump());
}

absl::StatusOr<std::string> OptionReader::take_required_string(const std::string& name) {
  const nlohmann::json value = take_json(name);
  if (value.is_string() && !value.get_ref<const std::string&>().empty()) {
    return value.get<std::string>();
  }
  if (value.is_null() || value.is_string()) {
    return errno_message(EINVAL, "Driver '" + driver_ + "' needs the option '" + name + "'");
  }
  return errno_message(EINVAL, "Option '" + name + "' of driver '" + driver_ +
                                   "' takes a text, not " + value.dump());
}

absl::StatusOr<uint64_t> OptionReader::take_size(const std::string& name, uint64_t fallback) {
  const nlohmann::json value = take_json(name);
  if (value.is_null()) return fallback;
  // A literal that was written in C++ may be signed.
  if (value.is_number_unsigned()) return value.get<uint64_t>();
  if (value.is_number_integer() && value.get<int64_t>() >= 0) return value.get<uint64_t>();
  if (value.is_string()) {
    if (const auto size = parse_size(value.get_ref<const std::string&>())) return *size;
  }
  return errno_message(EINVAL, "Option '" + name + "' of driver '" + driver_ +
                                   "' takes a number of bytes (512, 64K, 1G), not " + value.dump());
}

absl::StatusOr<bool> OptionReader::take_bool(const std::string& name, bool fallback) {
  const nlohmann::json value = take_json(name);
  if (value.is_null()) return fallback;
  if (value.is_boolean()) return value.get<bool>();
  if (value == "on" || value == "true" || value == "yes") return true;
  if (value == "off" || value == "false" || value == "no") return false;
  return errno_message(EINVAL, "Option '" + name + "' of driver '" + driver_ +
                                   "' takes on or off, not " + value.dump());
}

absl::Status OptionReader::finish() const {
  if (!left_.is_object() || left_.empty()) return absl::OkStatus();
  std::string names;
  for (const auto& [name, value] : left_.items()) {
    if (!names.empty()) names += "', '";
    names += name;
  }
  return errno_message(EINVAL, "Driver '" + driver_ + "' has no option '" + names + "'");
}

}  // namespace penstock
