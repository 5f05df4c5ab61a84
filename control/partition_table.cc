// SPDX-License-Identifier: Apache-2.0
#include "control/partition_table.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <set>
#include <string_view>
#include <utility>

#include "base/byte_range.h"
#include "base/status.h"

namespace penstock {
namespace {

constexpr char kHexDigits[] = "0123456789abcdef";
constexpr std::string_view kEscape = "\\x";
constexpr size_t kEscapedSize = 4;  // \xNN

std::string escape(const std::string& bytes) {
  std::string text;
  for (const char c : bytes) {
    if (c >= ' ' && c <= '~' && c != '\\') {
      text += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      text.append(kEscape);
      text += kHexDigits[byte >> 4];
      text += kHexDigits[byte & 15];
    }
  }
  return text;
}

std::optional<std::string> unescape(const std::string& text) {
  std::string bytes;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      bytes += text[i];
      continue;
    }
    if (text.compare(i, kEscape.size(), kEscape) != 0 || i + kEscapedSize > text.size()) {
      return std::nullopt;
    }
    unsigned value = 0;
    const char* end = text.data() + i + kEscapedSize;
    const auto [rest, error] = std::from_chars(text.data() + i + kEscape.size(), end, value, 16);
    if (error != std::errc() || rest != end) return std::nullopt;
    bytes += static_cast<char>(value);
    i += kEscapedSize - 1;
  }
  return bytes;
}

// Takes values out of an object, and remembers whether any was missing or of the wrong type.
class Fields {
 public:
  explicit Fields(const nlohmann::json& object) : object_(object), ok_(object.is_object()) {}

  std::string text(const char* key) {
    const nlohmann::json* value = find(key);
    if (value == nullptr || !value->is_string()) return fail();
    std::optional<std::string> bytes = unescape(value->get<std::string>());
    return bytes ? std::move(*bytes) : fail();
  }
  uint64_t number(const char* key) {
    const nlohmann::json* value = find(key);
    if (value != nullptr && value->is_number_unsigned()) return value->get<uint64_t>();
    ok_ = false;
    return 0;
  }
  const nlohmann::json& list(const char* key) {
    static const nlohmann::json kNone = nlohmann::json::array();
    const nlohmann::json* value = find(key);
    if (value != nullptr && value->is_array()) return *value;
    ok_ = false;
    return kNone;
  }
  const nlohmann::json& object(const char* key) {
    static const nlohmann::json kNone;
    const nlohmann::json* value = find(key);
    return value == nullptr ? kNone : *value;
  }
  bool ok() const { return ok_; }

 private:
  const nlohmann::json* find(const char* key) const {
    if (!object_.is_object()) return nullptr;
    const auto found = object_.find(key);
    return found == object_.end() ? nullptr : &*found;
  }
  std::string fail() {
    ok_ = false;
    return {};
  }

  const nlohmann::json& object_;
  bool ok_;
};

nlohmann::json content_to_json(const ContentFacts& content) {
  return {{"type", escape(content.type)},
          {"usage", escape(content.usage)},
          {"label", escape(content.label)},
          {"uuid", escape(content.uuid)}};
}

std::optional<ContentFacts> content_from_json(const nlohmann::json& json) {
  Fields fields(json);
  ContentFacts content;
  content.type = fields.text("type");
  content.usage = fields.text("usage");
  content.label = fields.text("label");
  content.uuid = fields.text("uuid");
  if (!fields.ok()) return std::nullopt;
  return content;
}

std::optional<Partition> partition_from_json(const nlohmann::json& json) {
  Fields fields(json);
  const uint64_t number = fields.number("number");
  Partition partition;
  partition.number = static_cast<unsigned>(number);
  partition.offset = fields.number("offset");
  partition.length = fields.number("length");
  partition.type = fields.text("type");
  partition.name = fields.text("name");
  partition.uuid = fields.text("uuid");
  std::optional<ContentFacts> content = content_from_json(fields.object("content"));
  if (!fields.ok() || !content || number == 0 || number > UINT32_MAX) return std::nullopt;
  if (!make_range(partition.offset, partition.length)) return std::nullopt;
  partition.content = std::move(*content);
  return partition;
}

absl::Status not_a_table() {
  return errno_message(EINVAL, "this JSON is not a partition table as Penstock writes it");
}

}  // namespace

void confine_partitions(PartitionTable& table, uint64_t disk_size) {
  std::set<unsigned> numbers;
  std::vector<Partition> kept;
  for (Partition& partition : table.partitions) {
    if (partition.number == 0 || partition.offset >= disk_size) continue;
    partition.length = std::min(partition.length, disk_size - partition.offset);
    if (partition.length == 0 || !numbers.insert(partition.number).second) continue;
    kept.push_back(std::move(partition));
  }
  table.partitions = std::move(kept);
}

nlohmann::json partition_table_to_json(const PartitionTable& table) {
  nlohmann::json partitions = nlohmann::json::array();
  for (const Partition& partition : table.partitions) {
    partitions.push_back({{"number", partition.number},
                          {"offset", partition.offset},
                          {"length", partition.length},
                          {"type", escape(partition.type)},
                          {"name", escape(partition.name)},
                          {"uuid", escape(partition.uuid)},
                          {"content", content_to_json(partition.content)}});
  }
  return {{"type", escape(table.type)},
          {"sector-size", table.sector_size},
          {"partitions", std::move(partitions)},
          {"content", content_to_json(table.content)}};
}

absl::StatusOr<PartitionTable> partition_table_from_json(const nlohmann::json& json) {
  Fields fields(json);
  PartitionTable table;
  table.type = fields.text("type");
  const uint64_t sector_size = fields.number("sector-size");
  for (const nlohmann::json& entry : fields.list("partitions")) {
    std::optional<Partition> partition = partition_from_json(entry);
    if (!partition) return not_a_table();
    table.partitions.push_back(std::move(*partition));
  }
  std::optional<ContentFacts> content = content_from_json(fields.object("content"));
  if (!fields.ok() || !content || sector_size > UINT32_MAX) return not_a_table();
  table.sector_size = static_cast<uint32_t>(sector_size);
  table.content = std::move(*content);
  return table;
}

}  // namespace penstock
