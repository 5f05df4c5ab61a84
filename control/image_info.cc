// SPDX-License-Identifier: Apache-2.0
#include "control/image_info.h"

#include <utility>

#include "base/status.h"
#include "block/node/below_filters.h"
#include "control/image_file_finder.h"
#include "control/opened_image.h"
#include "iothreads/control_thread.h"

namespace penstock {
namespace {

// The storage of one image: everything below its node but other images and, as QEMU counts, its
// data file.
uint64_t occupied_bytes(const Node& image) {
  uint64_t bytes = 0;
  std::vector<const Node*> left = {&image};
  while (!left.empty()) {
    const Node& node = *left.back();
    left.pop_back();
    bytes += node.driver->allocated_bytes();
    for (const auto& child : node.children) {
      const bool is_own = child->role != ChildRole::kBacking && child->name != "data-file";
      if (is_own) left.push_back(child->node);
    }
  }
  return bytes;
}

std::optional<std::string> text_of(const nlohmann::json& facts, const char* key) {
  const auto found = facts.find(key);
  if (found == facts.end() || !found->is_string()) return std::nullopt;
  return found->get<std::string>();
}

void read_facts(const nlohmann::json& facts, ImageInfo& info) {
  if (!facts.is_object()) return;
  if (facts.contains("cluster-size")) info.cluster_size = facts["cluster-size"].get<uint64_t>();
  info.dirty = facts.value("dirty-flag", false);
  info.backing_filename = text_of(facts, "backing-filename");
  info.backing_format = text_of(facts, "backing-filename-format");
  if (facts.contains("format-specific")) info.format_specific = facts["format-specific"];
}

}  // namespace

ImageInfo describe_image(const Node& top, const std::string& filename) {
  const Node& node = below_filters(top);
  ImageInfo info;
  info.filename = filename;
  info.format = node.driver_name;
  info.virtual_size = node.size();
  info.actual_size = occupied_bytes(node);
  info.snapshots = node.driver->snapshots();
  read_facts(node.driver->describe(), info);
  if (info.backing_filename) {
    info.full_backing_filename = combined_path(filename, *info.backing_filename);
  }
  return info;
}

absl::StatusOr<std::vector<ImageInfo>> read_image_info(MountPlan plan, bool whole_chain) {
  plan.image_alone = !whole_chain;
  std::vector<ImageInfo> images;
  const absl::Status status = use_image(plan, [&](const OpenedImage& image) {
    assert_in_coroutine();
    assert_control_thread();
    images.push_back(describe_image(image.node, plan.image));
    const Child* below = image.node.find_child("backing");
    while (whole_chain && below != nullptr) {
      images.push_back(describe_image(*below->node, below->node->file_name));
      below = below->node->find_child("backing");
    }
    return absl::OkStatus();
  });
  if (!status.ok()) return status;
  return images;
}

}  // namespace penstock
