// SPDX-License-Identifier: Apache-2.0
#include "control/json_image_name.h"

#include <cerrno>
#include <utility>

#include "base/printable_text.h"
#include "base/status.h"
#include "block/node/options.h"
#include "nlohmann/json.hpp"

namespace penstock {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kPrefix = "json:";
constexpr int kMaxDepth = 8;

absl::Status refuse(const std::string& why) {
  return errno_message(EINVAL, "a json: name " + why +
                                   "; known are driver, file, filename, locking, backing, and"
                                   " offset and size of raw");
}

absl::Status refuse_key(const std::string& key, const std::string& why) {
  return refuse("with the key '" + printable_text(key) + "'" + why);
}

// {"file.driver": x, "file.filename": y} as {"file": {"driver": x, "filename": y}}.
absl::StatusOr<Json> unflatten(const Json& flat) {
  Json nested = Json::object();
  for (const auto& [key, value] : flat.items()) {
    const size_t dot = key.find('.');
    Json& place = nested[key.substr(0, dot)];
    if (dot == std::string::npos) {
      if (!place.is_null()) return refuse_key(key, ", which is said twice");
      place = value;
      continue;
    }
    if (!place.is_null() && !place.is_object()) return refuse_key(key, ", which is said twice");
    place[key.substr(dot + 1)] = value;
  }
  return nested;
}

absl::StatusOr<uint64_t> read_bytes(const Json& image, const std::string& key) {
  NodeOptions options;
  options.driver = "raw";
  options.driver_options[key] = image[key];
  return OptionReader(options).take_size(key, 0);
}

absl::StatusOr<JsonImageName> read_image(const Json& flat, int depth);

absl::StatusOr<std::unique_ptr<JsonImageName>> read_child(const std::string& key, const Json& value,
                                                          int depth) {
  if (!value.is_object()) return refuse_key(key, ", which is no description of a file");
  absl::StatusOr<JsonImageName> child = read_image(value, depth + 1);
  if (!child.ok()) return child.status();
  return std::make_unique<JsonImageName>(std::move(*child));
}

absl::Status read_key(const Json& image, const std::string& key, int depth, JsonImageName& name) {
  const Json& value = image[key];
  if (key == "driver" || key == "filename") {
    if (!value.is_string()) return refuse_key(key, ", which is no text");
    (key == "driver" ? name.driver : name.filename) = value.get<std::string>();
  } else if (key == "locking") {
    if (value != "on" && value != "off" && value != "auto") {
      return refuse_key(key, ", which takes on, off or auto");
    }
  } else if (key == "offset" || key == "size") {
    const absl::StatusOr<uint64_t> bytes = read_bytes(image, key);
    if (!bytes.ok()) return refuse_key(key, ", which is no number of bytes");
    (key == "offset" ? name.offset : name.size) = *bytes;
  } else if (key == "backing" && value.is_null()) {
    name.no_backing = true;
  } else if (key == "file" || key == "backing") {
    auto child = read_child(key, value, depth);
    if (!child.ok()) return child.status();
    (key == "file" ? name.file : name.backing) = std::move(*child);
  } else {
    return refuse_key(key, ", which is not known there");
  }
  return absl::OkStatus();
}

absl::Status check_shape(const JsonImageName& name, bool has_locking) {
  const bool is_file = name.driver == "file" || (name.driver.empty() && name.file == nullptr);
  if (is_file) {
    if (name.filename.empty()) return refuse_key("filename", " missing");
    if (name.file != nullptr || name.backing != nullptr || name.no_backing || name.offset ||
        name.size) {
      return refuse("for a plain file takes nothing but its filename and locking");
    }
    return absl::OkStatus();
  }
  if (has_locking) return refuse_key("locking", ", which belongs to the driver file");
  if (!name.filename.empty()) {
    return refuse_key(
        "filename", ", which belongs to the driver file and not to " + printable_text(name.driver));
  }
  if (name.file == nullptr) return refuse_key("file", " missing");
  if ((name.offset || name.size) && name.driver != "raw") {
    return refuse_key(name.offset ? "offset" : "size", ", which belongs to the driver raw");
  }
  return absl::OkStatus();
}

absl::StatusOr<JsonImageName> read_image(const Json& flat, int depth) {
  if (depth > kMaxDepth) return refuse("that is nested too deeply");
  const absl::StatusOr<Json> image = unflatten(flat);
  if (!image.ok()) return image.status();
  JsonImageName name;
  for (const auto& [key, value] : image->items()) {
    if (const auto status = read_key(*image, key, depth, name); !status.ok()) return status;
  }
  // Which of the two it is, the file itself tells.
  if (name.driver == "host_device") name.driver = "file";
  const absl::Status status = check_shape(name, image->contains("locking"));
  if (!status.ok()) return status;
  return name;
}

}  // namespace

bool is_json_image_name(std::string_view name) { return name.substr(0, kPrefix.size()) == kPrefix; }

absl::StatusOr<JsonImageName> parse_json_image_name(std::string_view name) {
  const Json json = Json::parse(name.substr(kPrefix.size()), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return refuse("that is no JSON object");
  return read_image(json, 0);
}

}  // namespace penstock
