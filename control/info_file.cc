// SPDX-License-Identifier: Apache-2.0
#include "control/info_file.h"

#include <algorithm>
#include <utility>

#include "control/image_info_text.h"
#include "nlohmann/json.hpp"

namespace penstock {
namespace {

constexpr size_t kMaxListed = 1024;

// Leaves out what is too much of the list `key` of `object`.
void cut_list(nlohmann::ordered_json& object, const std::string& key) {
  const auto list = object.find(key);
  if (list == object.end() || list->size() <= kMaxListed) return;
  const size_t left_out = list->size() - kMaxListed;
  list->erase(list->begin() + kMaxListed, list->end());
  object[key + "-left-out"] = left_out;
}

void add_text(nlohmann::ordered_json& object, const char* key, const std::string& text) {
  if (!text.empty()) object[key] = text;
}

void add_content(nlohmann::ordered_json& object, const ContentFacts& content) {
  add_text(object, "fstype", content.type);
  add_text(object, "label", content.label);
  add_text(object, "uuid", content.uuid);
}

}  // namespace

std::string info_file_text(ImageInfo info, const PartitionTable& table) {
  const size_t snapshots = info.snapshots.size();
  // Before JSON is made of what is not listed anyway.
  info.snapshots.resize(std::min(snapshots, kMaxListed));
  nlohmann::ordered_json facts = image_info_json(info);
  if (snapshots > kMaxListed) facts["snapshots-left-out"] = snapshots - kMaxListed;
  if (facts.contains("format-specific") && facts["format-specific"].contains("data")) {
    cut_list(facts["format-specific"]["data"], "bitmaps");
  }
  if (!table.type.empty()) {
    facts["partition-table"] = table.type;
    facts["sector-size"] = table.sector_size;
  }
  add_content(facts, table.content);
  nlohmann::ordered_json partitions = nlohmann::ordered_json::array();
  for (const Partition& partition : table.partitions) {
    nlohmann::ordered_json entry;
    entry["file"] = "p" + std::to_string(partition.number);
    entry["offset"] = partition.offset;
    entry["size"] = partition.length;
    add_text(entry, "type", partition.type);
    add_text(entry, "name", partition.name);
    add_text(entry, "partuuid", partition.uuid);
    add_content(entry, partition.content);
    partitions.push_back(std::move(entry));
  }
  facts["partitions"] = std::move(partitions);
  return json_text(facts);
}

}  // namespace penstock
