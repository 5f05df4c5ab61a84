// SPDX-License-Identifier: Apache-2.0
#include "control/options/keyval.h"

#include <algorithm>
#include <cerrno>
#include <utility>
#include <vector>

#include "base/printable_text.h"
#include "base/status.h"
#include "control/qmp/json_stream.h"

namespace penstock {
namespace {

using Json = nlohmann::json;

absl::Status invalid(const std::string& text) { return errno_message(EINVAL, text); }

std::string in_quotes(std::string_view text) {
  return "'" + printable_text(text, kLongestQuote) + "'";
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

bool is_index(std::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), is_digit);
}

bool is_name(std::string_view name) {
  if (name.empty() || name.size() > kKeyvalLongestName) return false;
  if (is_index(name)) return true;
  return (is_letter(name.front()) || name.front() == '_') &&
         std::all_of(name.begin(), name.end(),
                     [](char c) { return is_letter(c) || is_digit(c) || c == '-' || c == '_'; });
}

// Reads one option after the other off a text.
class OptionText {
 public:
  explicit OptionText(std::string_view text) : left_(text) {}

  bool at_end() const { return left_.empty(); }
  // Up to '=' or a comma, which stay.
  std::string_view peek_word() const { return left_.substr(0, left_.find_first_of("=,")); }
  bool has_value() const {
    const size_t length = peek_word().size();
    return length < left_.size() && left_[length] == '=';
  }
  std::string take_key() {
    std::string key(peek_word());
    left_.remove_prefix(std::min(key.size() + 1, left_.size()));
    return key;
  }
  std::string take_value() {
    std::string value;
    while (!left_.empty()) {
      const char c = left_.front();
      left_.remove_prefix(1);
      if (c == ',') {
        if (left_.empty() || left_.front() != ',') break;
        left_.remove_prefix(1);
      }
      value += c;
    }
    return value;
  }

 private:
  std::string_view left_;
};

absl::StatusOr<std::vector<std::string>> split_key(const std::string& key) {
  std::vector<std::string> names;
  size_t start = 0;
  for (;;) {
    const size_t end = std::min(key.find('.', start), key.size());
    std::string name = key.substr(start, end - start);
    // An index needs something to be in.
    if (!is_name(name) || (names.empty() && is_index(name))) {
      return invalid("Invalid parameter " + in_quotes(key));
    }
    names.push_back(std::move(name));
    if (names.size() > kKeyvalDepth) {
      return invalid("Parameter " + in_quotes(key) + " has more than " +
                     std::to_string(kKeyvalDepth) + " parts");
    }
    if (end == key.size()) return names;
    start = end + 1;
  }
}

std::string joined(const std::vector<std::string>& names, size_t count) {
  std::string result;
  for (size_t i = 0; i < count; ++i) result += (i == 0 ? "" : ".") + names[i];
  return result;
}

absl::Status inconsistent(const std::string& prefix) {
  return invalid("Parameters " + in_quotes(prefix + ".*") + " used inconsistently");
}

absl::Status put(Json& root, const std::string& key, std::string value) {
  const auto names = split_key(key);
  if (!names.ok()) return names.status();
  Json* at = &root;
  for (size_t i = 0; i + 1 < names->size(); ++i) {
    Json& next = (*at)[(*names)[i]];
    if (next.is_null()) next = Json::object();
    if (!next.is_object()) return inconsistent(joined(*names, i + 1));
    at = &next;
  }
  Json& place = (*at)[names->back()];
  if (!place.is_null() && !place.is_string()) return inconsistent(key);
  place = std::move(value);
  return absl::OkStatus();
}

// Objects whose keys are all indices become arrays. Until then they are objects, so that a large
// index costs nothing.
absl::Status make_arrays(Json& value, const std::string& path) {
  if (!value.is_object()) return absl::OkStatus();
  const std::string prefix = path.empty() ? "" : path + ".";
  size_t indices = 0;
  for (auto& [name, below] : value.items()) {
    indices += is_index(name) ? 1 : 0;
    if (const auto made = make_arrays(below, prefix + name); !made.ok()) return made;
  }
  if (indices == 0) return absl::OkStatus();
  if (indices != value.size()) return inconsistent(path);
  Json list = Json::array();
  for (size_t i = 0; i < indices; ++i) {
    const auto found = value.find(std::to_string(i));
    if (found == value.end()) {
      return invalid("Parameter " + in_quotes(prefix + std::to_string(i)) + " missing");
    }
    list.push_back(std::move(*found));
  }
  value = std::move(list);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Json> parse_keyval(std::string_view text, const std::string& implied_key) {
  Json result = Json::object();
  OptionText options(text);
  bool first = true;
  while (!options.at_end()) {
    std::string key = implied_key;
    if (options.has_value()) {
      key = options.take_key();
    } else if (!first || implied_key.empty() || options.peek_word().empty()) {
      return options.peek_word().empty()
                 ? invalid("Invalid parameter ''")
                 : invalid("Expected '=' after parameter " + in_quotes(options.peek_word()));
    }
    first = false;
    const absl::Status status = put(result, key, options.take_value());
    if (!status.ok()) return status;
  }
  if (const auto made = make_arrays(result, ""); !made.ok()) return made;
  return result;
}

absl::StatusOr<Json> parse_flat_options(std::string_view text, const std::string& implied_key) {
  Json result = Json::object();
  OptionText options(text);
  bool first = true;
  while (!options.at_end()) {
    std::string key = implied_key;
    std::string value;
    if (options.has_value()) {
      key = options.take_key();
      value = options.take_value();
    } else if (first && !implied_key.empty()) {
      value = options.take_value();
    } else {
      key = options.take_value();
      const bool negated = key.starts_with("no");
      if (negated) key.erase(0, 2);
      value = negated ? "off" : "on";
    }
    first = false;
    if (!is_name(key) || is_index(key)) return invalid("Invalid parameter " + in_quotes(key));
    result[key] = std::move(value);
  }
  return result;
}

absl::StatusOr<Json> parse_json_object(std::string_view text) {
  JsonStream stream;
  stream.feed(text);
  const auto parsed = stream.next();
  if (!parsed) return invalid("JSON parse error, the text ends in the middle of an object");
  if (!parsed->ok()) return parsed->status();
  stream.feed("\n");
  if (stream.next() || !(*parsed)->is_object()) {
    return invalid("JSON parse error, expected one object");
  }
  return **parsed;
}

}  // namespace penstock
