// SPDX-License-Identifier: Apache-2.0
#include "control/node_facts.h"

#include <string>
#include <utility>
#include <vector>

#include "block/graph/topology.h"
#include "control/image_info.h"
#include "control/image_info_text.h"
#include "iothreads/control_thread.h"

namespace penstock {
namespace {

using Json = nlohmann::json;

// Values are copied and printed by recursion, on the small stack of a coroutine.
constexpr size_t kMaxNestedImages = 16;

const Node* backing_of(const Node& node) {
  const Child* backing = node.find_child("backing");
  return backing == nullptr ? nullptr : backing->node;
}

Json image_of(const Node& node) GLOBAL_STATE_CODE {
  ImageInfo info = describe_image(node, node.file_name);
  info.format = node.driver_name;
  return Json(image_info_json(info));
}

Json image_chain(const Node& node, bool flat) GLOBAL_STATE_CODE {
  std::vector<const Node*> images{&node};
  while (!flat && images.size() <= kMaxNestedImages) {
    const Node* below = backing_of(*images.back());
    if (below == nullptr) break;
    images.push_back(below);
  }
  Json result;
  for (auto image = images.rbegin(); image != images.rend(); ++image) {
    Json facts = image_of(**image);
    if (!result.is_null()) facts["backing-image"] = std::move(result);
    result = std::move(facts);
  }
  return result;
}

int backing_depth(const Node& node) {
  int depth = 0;
  for (const Node* below = backing_of(node); below != nullptr; below = backing_of(*below)) ++depth;
  return depth;
}

}  // namespace

Json node_facts(const Node& node, bool flat) {
  Json facts = {{"node-name", node.name},
                {"file", node.file_name},
                {"ro", node.read_only},
                {"drv", node.driver_name},
                {"backing_file_depth", backing_depth(node)},
                {"encrypted", false},
                {"detect_zeroes", "off"},
                {"write_threshold", 0},
                {"image", image_chain(node, flat)}};
  if (const Node* below = backing_of(node); below != nullptr) {
    facts["backing_file"] = below->file_name;
  }
  facts["cache"] = {
      {"writeback", true}, {"direct", node.options.cache_direct}, {"no-flush", false}};
  // A node has no limits of its own: there is the throttle filter for that.
  for (const char* limit : {"bps", "bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr"}) {
    facts[limit] = 0;
  }
  facts["children"] = Json::array();
  for (const auto& child : node.children) {
    if (child->node == nullptr) continue;
    facts["children"].push_back({{"child", child->name}, {"node-name", child->node->name}});
  }
  facts["x-penstock-users"] = Json::array();
  for (const Child* user : node.parents) facts["x-penstock-users"].push_back(user_name(*user));
  const bool has_iothread = node.home != nullptr && node.home.get() != &control_context();
  facts["x-penstock-iothread"] = has_iothread ? Json(node.home->name()) : Json();
  return facts;
}

Json all_node_facts(const Graph& graph, bool flat) {
  Json result = Json::array();
  for (const Node* node : graph.nodes()) result.push_back(node_facts(*node, flat));
  return result;
}

}  // namespace penstock
