// SPDX-License-Identifier: Apache-2.0
#include "control/image_info_text.h"

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <ctime>
#include <iterator>
#include <string_view>
#include <utility>

#include "base/printable_text.h"

namespace penstock {
namespace {

using Json = nlohmann::json;

constexpr uint64_t kNanosecondsPerSecond = 1'000'000'000;
constexpr uint64_t kNanosecondsPerMillisecond = 1'000'000;

// In this order; what is not listed follows by name.
constexpr std::string_view kKeyOrder[] = {
    "compat",  "compression-type", "lazy-refcounts", "refcount-bits", "data-file", "data-file-raw",
    "corrupt", "extended-l2",      "bitmaps",        "flags",         "name",      "granularity"};

size_t order_of(const std::string& key) {
  const auto* const found = std::find(std::begin(kKeyOrder), std::end(kKeyOrder), key);
  return static_cast<size_t>(found - std::begin(kKeyOrder));
}

std::vector<std::string> ordered_keys(const Json& object) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : object.items()) keys.push_back(key);
  std::sort(keys.begin(), keys.end(), [](const std::string& a, const std::string& b) {
    return std::pair(order_of(a), a) < std::pair(order_of(b), b);
  });
  return keys;
}

std::string value_text(const Json& value) {
  if (value.is_string()) return printable_text(value.get_ref<const std::string&>());
  return value.dump();
}

// "key: value" lines; deeper ones are indented. The facts are a driver's own: they nest a little.
void append_facts(const Json& facts, size_t indent, std::string& text) {
  const std::string margin(indent, ' ');
  const auto append = [&](const std::string& label, const Json& value) {
    text += margin + label + ":";
    if (value.is_structured()) {
      text += "\n";
      append_facts(value, indent + 4, text);
    } else {
      text += " " + value_text(value) + "\n";
    }
  };
  if (facts.is_array()) {
    for (size_t i = 0; i < facts.size(); ++i) append("[" + std::to_string(i) + "]", facts[i]);
    return;
  }
  for (const std::string& key : ordered_keys(facts)) {
    std::string label = key;
    std::replace(label.begin(), label.end(), '-', ' ');
    append(label, facts[key]);
  }
}

std::string date_text(const ImageSnapshot& snapshot) {
  const auto seconds = static_cast<time_t>(snapshot.date_seconds);
  struct tm date = {};
  char text[64] = "";
  if (::localtime_r(&seconds, &date) != nullptr) {
    std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &date);
  }
  return text;
}

std::string clock_text(uint64_t nanoseconds) {
  const uint64_t seconds = nanoseconds / kNanosecondsPerSecond;
  char text[64];
  std::snprintf(text, sizeof text, "%02" PRIu64 ":%02" PRIu64 ":%02" PRIu64 ".%03" PRIu64,
                seconds / 3600, seconds / 60 % 60, seconds % 60,
                nanoseconds / kNanosecondsPerMillisecond % 1000);
  return text;
}

std::string padded(std::string text, size_t width) {
  if (text.size() < width) text.append(width - text.size(), ' ');
  return text;
}

std::string right(const std::string& text, size_t width) {
  return text.size() < width ? std::string(width - text.size(), ' ') + text : text;
}

std::string snapshot_line(const std::string& id, const std::string& tag, const std::string& size,
                          const std::string& date, const std::string& clock) {
  return padded(id, 9) + " " + padded(tag, 16) + " " + right(size, 8) + right(date, 20) +
         right(clock, 13) + "\n";
}

std::string snapshots_text(const std::vector<ImageSnapshot>& snapshots) {
  std::string text = "Snapshot list:\n" + snapshot_line("ID", "TAG", "VM SIZE", "DATE", "VM CLOCK");
  for (const ImageSnapshot& snapshot : snapshots) {
    text += snapshot_line(printable_text(snapshot.id), printable_text(snapshot.name),
                          readable_size(snapshot.vm_state_size), date_text(snapshot),
                          clock_text(snapshot.vm_clock_nanoseconds));
  }
  return text;
}

std::string backing_text(const ImageInfo& info) {
  std::string text = "backing file: " + printable_text(*info.backing_filename);
  if (info.full_backing_filename && info.full_backing_filename != info.backing_filename) {
    text += " (actual path: " + printable_text(*info.full_backing_filename) + ")";
  }
  text += "\n";
  if (info.backing_format) {
    text += "backing file format: " + printable_text(*info.backing_format) + "\n";
  }
  return text;
}

nlohmann::ordered_json snapshot_json(const ImageSnapshot& snapshot) {
  nlohmann::ordered_json facts;
  facts["id"] = snapshot.id;
  facts["name"] = snapshot.name;
  facts["vm-state-size"] = snapshot.vm_state_size;
  facts["date-sec"] = snapshot.date_seconds;
  facts["date-nsec"] = snapshot.date_nanoseconds;
  facts["vm-clock-sec"] = snapshot.vm_clock_nanoseconds / kNanosecondsPerSecond;
  facts["vm-clock-nsec"] = snapshot.vm_clock_nanoseconds % kNanosecondsPerSecond;
  return facts;
}

}  // namespace

nlohmann::ordered_json image_info_json(const ImageInfo& info) {
  nlohmann::ordered_json facts;
  facts["virtual-size"] = info.virtual_size;
  facts["filename"] = info.filename;
  if (info.cluster_size) facts["cluster-size"] = *info.cluster_size;
  facts["format"] = info.format;
  facts["actual-size"] = info.actual_size;
  if (!info.format_specific.is_null()) facts["format-specific"] = info.format_specific;
  if (info.backing_filename) facts["backing-filename"] = *info.backing_filename;
  if (info.full_backing_filename) facts["full-backing-filename"] = *info.full_backing_filename;
  if (info.backing_format) facts["backing-filename-format"] = *info.backing_format;
  for (const ImageSnapshot& snapshot : info.snapshots) {
    facts["snapshots"].push_back(snapshot_json(snapshot));
  }
  facts["dirty-flag"] = info.dirty;
  return facts;
}

std::string json_text(const nlohmann::ordered_json& json) {
  return json.dump(4, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

std::string image_info_text(const ImageInfo& info) {
  std::string text = "image: " + printable_text(info.filename) + "\nfile format: " + info.format +
                     "\nvirtual size: " + readable_size(info.virtual_size) + " (" +
                     std::to_string(info.virtual_size) +
                     " bytes)\ndisk size: " + readable_size(info.actual_size) + "\n";
  if (info.cluster_size) text += "cluster_size: " + std::to_string(*info.cluster_size) + "\n";
  if (info.dirty) text += "cleanly shut down: no\n";
  if (info.backing_filename) text += backing_text(info);
  if (!info.snapshots.empty()) text += snapshots_text(info.snapshots);
  if (info.format_specific.contains("data")) {
    text += "Format specific information:\n";
    append_facts(info.format_specific["data"], 4, text);
  }
  return text;
}

std::string image_info_text(const std::vector<ImageInfo>& images) {
  std::string text;
  for (const ImageInfo& info : images) text += (text.empty() ? "" : "\n") + image_info_text(info);
  return text;
}

std::string readable_size(uint64_t bytes) {
  static constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  // The next unit from 1000 on, so that three digits are enough.
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1000 && unit + 1 < std::size(kUnits)) {
    value /= 1024;
    ++unit;
  }
  char text[32];
  std::snprintf(text, sizeof text, "%0.3g %s", value, kUnits[unit]);
  return text;
}

}  // namespace penstock
