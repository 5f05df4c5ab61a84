// SPDX-License-Identifier: Apache-2.0
#include "control/info_file.h"

#include <utility>

#include "control/image_info_text.h"
#include "nlohmann/json.hpp"

namespace penstock {
namespace {

void add_text(nlohmann::ordered_json& object, const char* key, const std::string& text) {
  if (!text.empty()) object[key] = text;
}

void add_content(nlohmann::ordered_json& object, const ContentFacts& content) {
  add_text(object, "fstype", content.type);
  add_text(object, "label", content.label);
  add_text(object, "uuid", content.uuid);
}

}  // namespace

std::string info_file_text(const ImageInfo& info, const PartitionTable& table) {
  nlohmann::ordered_json facts = image_info_json(info);
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
