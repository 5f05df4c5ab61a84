// SPDX-License-Identifier: Apache-2.0
// Members of an object that somebody else made: of the expected type, or a plain default.
//
// Ownership: list_field() refers into the object, or to an empty constant.
// Threads: pure.
// Errors: none: what is missing or of another type is "", 0, false or an empty list.
// Invariants: nothing throws.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "nlohmann/json.hpp"

namespace penstock {

std::string text_field(const nlohmann::json& object, const char* key);
uint64_t number_field(const nlohmann::json& object, const char* key);
bool bool_field(const nlohmann::json& object, const char* key);
const nlohmann::json& list_field(const nlohmann::json& object, const char* key);
// The strings of a list.
std::vector<std::string> texts_field(const nlohmann::json& object, const char* key);

}  // namespace penstock
