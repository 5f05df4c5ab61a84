// SPDX-License-Identifier: Apache-2.0
#include "control/qmp/json_fields.h"

namespace penstock {
namespace {

const nlohmann::json& field(const nlohmann::json& object, const char* key) {
  static const auto* const kNothing = new nlohmann::json();
  if (!object.is_object()) return *kNothing;
  const auto found = object.find(key);
  return found == object.end() ? *kNothing : *found;
}

}  // namespace

std::string text_field(const nlohmann::json& object, const char* key) {
  const nlohmann::json& value = field(object, key);
  return value.is_string() ? value.get<std::string>() : "";
}

uint64_t number_field(const nlohmann::json& object, const char* key) {
  const nlohmann::json& value = field(object, key);
  if (value.is_number_unsigned()) return value.get<uint64_t>();
  if (!value.is_number_integer() || value.get<int64_t>() < 0) return 0;
  return value.get<uint64_t>();
}

bool bool_field(const nlohmann::json& object, const char* key) {
  const nlohmann::json& value = field(object, key);
  return value.is_boolean() && value.get<bool>();
}

const nlohmann::json& list_field(const nlohmann::json& object, const char* key) {
  static const auto* const kEmpty = new nlohmann::json(nlohmann::json::array());
  const nlohmann::json& value = field(object, key);
  return value.is_array() ? value : *kEmpty;
}

std::vector<std::string> texts_field(const nlohmann::json& object, const char* key) {
  std::vector<std::string> texts;
  for (const nlohmann::json& each : list_field(object, key)) {
    if (each.is_string()) texts.push_back(each.get<std::string>());
  }
  return texts;
}

}  // namespace penstock
