// SPDX-License-Identifier: Apache-2.0
#include "block/io/image_check.h"

#include <cerrno>
#include <memory>
#include <vector>

#include "base/status.h"
#include "block/io/driver_access.h"
#include "block/io/node_entry.h"
#include "block/node/node.h"

namespace penstock {
namespace {

// Ends in the reverse order of their beginning.
class NodeEntries {
 public:
  NodeEntries() = default;
  NodeEntries(const NodeEntries&) = delete;
  NodeEntries& operator=(const NodeEntries&) = delete;
  ~NodeEntries() {
    while (!entries_.empty()) entries_.pop_back();
  }

  void enter(Node& node) { entries_.push_back(std::make_unique<NodeEntry>(node)); }

 private:
  std::vector<std::unique_ptr<NodeEntry>> entries_;
};

}  // namespace

absl::StatusOr<ImageCheck> co_check(const Child& child) {
  NodeEntries entered;
  Node* node = child.node;
  entered.enter(*node);
  while (node->driver->is_filter()) {
    const Child* const below = node->find_child("file");
    if (below == nullptr) break;
    node = below->node;
    entered.enter(*node);
  }
  Checkable* const image = node->driver->checkable();
  if (image == nullptr) {
    return errno_message(ENOTSUP, "the format '" + node->driver_name + "' has no check");
  }
  return DriverAccess::co_check(*image);
}

}  // namespace penstock
