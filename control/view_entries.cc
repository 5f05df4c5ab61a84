// SPDX-License-Identifier: Apache-2.0
#include "control/view_entries.h"

#include <map>
#include <string>

#include "control/view_names.h"

namespace penstock {
namespace {

// Members of one array or volume group share their label and UUID: no link would be right.
constexpr char kMemberOfSeveral[] = "raid";

class Links {
 public:
  // The first with this label has the link.
  void add(const std::string& label, const std::string& file) {
    const std::string name = link_name(label);
    if (!name.empty()) links_.emplace(name, "../" + file);
  }
  void add_to(ServedTree& tree, uint64_t directory, const char* name) const GLOBAL_STATE_CODE {
    if (links_.empty()) return;
    const uint64_t folder = tree.add_directory(directory, name);
    for (const auto& [link, target] : links_) tree.add_symlink(folder, link, target);
  }

 private:
  std::map<std::string, std::string> links_;
};

}  // namespace

void add_partition_entries(ServedTree& tree, uint64_t directory, const ServedFile& disk,
                           const PartitionTable& table) {
  Links labels;
  Links uuids;
  Links names;
  const auto add_content = [&](const ContentFacts& content, const std::string& file) {
    if (content.usage == kMemberOfSeveral) return;
    labels.add(content.label, file);
    uuids.add(content.uuid, file);
  };
  for (const Partition& partition : table.partitions) {
    const std::string file = "p" + std::to_string(partition.number);
    tree.add_file(directory, file,
                  {.backend = disk.backend,
                   .offset = disk.offset + partition.offset,
                   .length = partition.length,
                   .writable = disk.writable,
                   .growable = false});
    add_content(partition.content, file);
    names.add(partition.name, file);
  }
  add_content(table.content, "disk");
  labels.add_to(tree, directory, "by-label");
  uuids.add_to(tree, directory, "by-uuid");
  names.add_to(tree, directory, "by-partname");
}

}  // namespace penstock
