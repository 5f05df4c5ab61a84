// SPDX-License-Identifier: Apache-2.0
#include "cli/filter_options.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <system_error>
#include <utility>

#include "base/printable_text.h"
#include "base/status.h"

namespace penstock {
namespace {

using nlohmann::json;

constexpr size_t kMaxDepth = 16;

absl::Status refuse(const std::string& word, const std::string& why) {
  return errno_message(EINVAL, "'" + printable_text(word, kLongestQuote) + "' " + why);
}

absl::StatusOr<json> parse_value(const std::string& word, const std::string& text) {
  if (text == "true") return true;
  if (text == "false") return false;
  int64_t number = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  if (!text.empty() && error == std::errc() && rest == end) return number;
  if (text.empty() || (text[0] != '{' && text[0] != '[' && text[0] != '"')) return text;
  json parsed = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (parsed.is_discarded()) return refuse(word, "has a value that is no whole JSON");
  return parsed;
}

absl::StatusOr<std::vector<std::string>> split_key(const std::string& word,
                                                   const std::string& key) {
  std::vector<std::string> parts(1);
  for (const char character : key) {
    if (character == '.') {
      parts.emplace_back();
    } else {
      parts.back() += character;
    }
  }
  const bool has_empty =
      std::any_of(parts.begin(), parts.end(), [](const auto& part) { return part.empty(); });
  if (has_empty) return refuse(word, "must be KEY=VALUE");
  if (parts.size() > kMaxDepth) return refuse(word, "has too many dots");
  return parts;
}

bool is_list(const json& object) {
  if (!object.is_object() || object.empty()) return false;
  for (size_t i = 0; i < object.size(); ++i) {
    if (!object.contains(std::to_string(i))) return false;
  }
  return true;
}

// Objects whose keys are 0, 1, ... become lists.
json with_lists(json value) {
  if (!value.is_object()) return value;
  for (auto& [key, member] : value.items()) member = with_lists(std::move(member));
  if (!is_list(value)) return value;
  json list = json::array();
  for (size_t i = 0; i < value.size(); ++i) list.push_back(value[std::to_string(i)]);
  return list;
}

}  // namespace

absl::StatusOr<json> parse_filter_options(const std::vector<std::string>& words) {
  json options = json::object();
  for (const std::string& word : words) {
    const size_t equals = word.find('=');
    if (equals == std::string::npos) return refuse(word, "must be KEY=VALUE");
    absl::StatusOr<json> value = parse_value(word, word.substr(equals + 1));
    if (!value.ok()) return value.status();
    const auto parts = split_key(word, word.substr(0, equals));
    if (!parts.ok()) return parts.status();
    json* place = &options;
    for (const std::string& part : *parts) {
      if (place->is_null()) *place = json::object();
      if (!place->is_object()) return refuse(word, "contradicts an option before it");
      place = &(*place)[part];
    }
    if (!place->is_null()) return refuse(word, "is there twice");
    *place = *std::move(value);
  }
  for (auto& [key, member] : options.items()) member = with_lists(std::move(member));
  return options;
}

}  // namespace penstock
