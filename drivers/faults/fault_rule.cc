// SPDX-License-Identifier: Apache-2.0
#include "drivers/faults/fault_rule.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "absl/strings/numbers.h"
#include "base/status.h"

namespace penstock {
namespace {

using Json = nlohmann::json;

constexpr auto kEvents = std::to_array<const char*>({
    "read_aio",
    "write_aio",
    "write_zeroes",
    "discard",
    "flush_to_os",
    "flush_to_disk",
    "resize",
    "readv",
    "pwritev",
    "pwritev_zero",
    "pwritev_done",
    "pwritev_rmw_head",
    "pwritev_rmw_after_head",
    "pwritev_rmw_tail",
    "pwritev_rmw_after_tail",
});

constexpr int kLargestErrno = 133;

absl::Status refuse(const std::string& what) {
  return errno_message(EINVAL, "faults: " + what + ".");
}

std::optional<int> errno_of_name(const std::string& name) {
  for (int number = 1; number <= kLargestErrno; ++number) {
    const char* known = strerrorname_np(number);
    if (known != nullptr && name == known) return number;
  }
  return std::nullopt;
}

absl::StatusOr<uint64_t> number_of(const std::string& key, const Json& value) {
  if (value.is_number_unsigned()) return value.get<uint64_t>();
  if (value.is_number_integer() && value.get<int64_t>() >= 0) return value.get<uint64_t>();
  return refuse("\"" + key + "\" takes a whole number that is not negative");
}

absl::Status set_error(FaultRule& rule, const Json& value) {
  std::optional<int> number;
  if (value.is_string()) {
    number = errno_of_name(value.get<std::string>());
  } else if (value.is_number_integer()) {
    const auto given = value.get<int64_t>();
    if (given >= 1 && given <= kLargestErrno) number = static_cast<int>(given);
  }
  if (!number) return refuse("\"errno\" takes a name such as \"EIO\", or its number");
  rule.error_number = *number;
  return absl::OkStatus();
}

absl::Status set_event(FaultRule& rule, const Json& value) {
  if (!value.is_string()) return refuse("\"event\" takes a string");
  rule.event = canonical_fault_event(value.get<std::string>());
  const auto known = fault_events();
  if (std::any_of(known.begin(), known.end(), [&](const char* e) { return rule.event == e; })) {
    return absl::OkStatus();
  }
  std::string names;
  for (const char* event : known) names += std::string(names.empty() ? "" : ", ") + event;
  return refuse("there is no event \"" + rule.event + "\"; there are " + names);
}

// One key of a rule into `rule`; the two halves of the range into the last two.
absl::Status set_key(FaultRule& rule, const std::string& key, const Json& value,
                     std::optional<uint64_t>& offset, std::optional<uint64_t>& length) {
  if (key == "event") return set_event(rule, value);
  if (key == "errno") return set_error(rule, value);
  if (key == "once" || key == "always") {
    if (!value.is_boolean()) return refuse("\"" + key + "\" takes true or false");
    rule.once = value.get<bool>() == (key == "once");
    return absl::OkStatus();
  }
  if (key == "suspend") {
    if (!value.is_string() || value.get<std::string>().empty()) {
      return refuse("\"suspend\" takes a tag, by which the request is resumed");
    }
    rule.suspend = value.get<std::string>();
    return absl::OkStatus();
  }
  if (key != "nth" && key != "offset" && key != "length" && key != "delay-ns") {
    return refuse("a rule has no key \"" + key +
                  "\"; it takes event, nth, once, always, offset, length, errno, delay-ns, "
                  "suspend");
  }
  const auto number = number_of(key, value);
  if (!number.ok()) return number.status();
  if (key == "nth") {
    if (*number == 0) return refuse("\"nth\" counts from 1");
    rule.nth = *number;
  } else if (key == "offset") {
    offset = *number;
  } else if (key == "length") {
    length = *number;
  } else {
    if (*number > INT64_MAX) return refuse("\"delay-ns\" must be below 2^63");
    rule.delay = Nanoseconds(*number);
  }
  return absl::OkStatus();
}

// The value of a text form's key: whatever JSON would have there.
Json value_of_text(const std::string& key, const std::string& text) {
  if (key == "suspend" || key == "event") return text;
  if (text == "true" || text == "on") return true;
  if (text == "false" || text == "off") return false;
  uint64_t number = 0;
  if (absl::SimpleAtoi(text, &number)) return number;
  return text;
}

}  // namespace

std::span<const char* const> fault_events() { return kEvents; }

std::string canonical_fault_event(const std::string& name) {
  if (name == "pdiscard") return "discard";
  if (name == "truncate") return "resize";
  return name;
}

absl::StatusOr<FaultRule> fault_rule_from_json(const Json& value) {
  if (value.is_string()) return parse_fault_rule(value.get<std::string>());
  if (!value.is_object()) return refuse("a rule is an object or a text");
  FaultRule rule;
  std::optional<uint64_t> offset;
  std::optional<uint64_t> length;
  for (const auto& [key, member] : value.items()) {
    if (const auto set = set_key(rule, key, member, offset, length); !set.ok()) return set;
  }
  if (rule.event.empty()) return refuse("a rule needs an \"event\"");
  if (offset || length) {
    const uint64_t start = offset.value_or(0);
    rule.range = make_range(start, length.value_or(UINT64_MAX - start));
    if (!rule.range) return refuse("the rule's range ends past the largest offset");
  }
  const bool silent = rule.error_number == 0 && rule.delay.count() == 0 && rule.suspend.empty();
  if (silent) rule.error_number = EIO;
  return rule;
}

absl::StatusOr<FaultRule> parse_fault_rule(const std::string& text) {
  Json object = Json::object();
  size_t start = 0;
  while (start <= text.size()) {
    const size_t end = std::min(text.find(':', start), text.size());
    const std::string part = text.substr(start, end - start);
    const size_t equals = part.find('=');
    if (start == 0) {
      object["event"] = part;
    } else if (equals == std::string::npos) {
      object[part] = true;
    } else {
      const std::string key = part.substr(0, equals);
      object[key] = value_of_text(key, part.substr(equals + 1));
    }
    start = end + 1;
  }
  return fault_rule_from_json(object);
}

}  // namespace penstock
