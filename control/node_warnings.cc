// SPDX-License-Identifier: Apache-2.0
#include "control/node_warnings.h"

#include <string>
#include <unordered_set>
#include <vector>

#include "control/log.h"

namespace penstock {

void log_node_warnings(const Node& root) {
  std::vector<const Node*> left = {&root};
  std::unordered_set<const Node*> seen;
  while (!left.empty()) {
    const Node& node = *left.back();
    left.pop_back();
    if (!seen.insert(&node).second) continue;
    for (const std::string& text : node.driver->warnings()) {
      log_line(LogLevel::kWarning, "'" + node.file_name + "': " + text);
    }
    for (const auto& child : node.children) left.push_back(child->node);
  }
}

}  // namespace penstock
