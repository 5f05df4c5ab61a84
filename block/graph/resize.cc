// SPDX-License-Identifier: Apache-2.0
#include "block/graph/resize.h"

#include <cerrno>
#include <memory>
#include <utility>
#include <vector>

#include "base/status.h"
#include "block/backend/backend_request.h"
#include "block/graph/drain.h"
#include "block/graph/topology.h"
#include "block/io/child_io.h"

namespace penstock {
namespace {

absl::Status co_resize_through(Backend& backend, uint64_t size) COROUTINE_CODE;
absl::Status co_resize_through(Backend& backend, uint64_t size) {
  BackendRequest request(backend, "resize", size, 0);
  if (!request.status().ok()) return request.status();
  return co_resize(request.root(), size);
}

// The filters above the node, parents last: their size is their child's.
std::vector<Node*> filters_above(Node& node) GLOBAL_STATE_CODE;
std::vector<Node*> filters_above(Node& node) {
  std::vector<Node*> result{&node};
  for (size_t i = 0; i < result.size(); ++i) {
    for (const Child* edge : result[i]->parents) {
      Node* parent = edge->parent;
      const bool filter = parent != nullptr && parent->driver != nullptr &&
                          parent->driver->is_filter() && edge->role == ChildRole::kFiltered;
      if (filter) result.push_back(parent);
    }
  }
  result.erase(result.begin());
  return result;
}

}  // namespace

absl::Status co_resize_node(Graph& graph, const std::string& node_name, uint64_t size) {
  Node* node = graph.find(node_name);
  if (node == nullptr) {
    return errno_message(ENOENT, "There is no node called '" + node_name + "' to resize.");
  }
  const uint64_t old_size = node->size();
  absl::StatusOr<std::unique_ptr<Backend>> backend =
      graph.co_attach_backend("resize of " + node_name, *node, {kResize, kAllPermissions});
  if (!backend.ok()) return backend.status();
  absl::Status status = co_resize_through(**backend, size);

  if (status.ok() && !filters_above(*node).empty()) {
    // Their sizes are exact only while nothing grows them.
    DrainedSection section(graph);
    status = section.co_begin_nodes({node}, kDefaultDrainLimit);
    if (status.ok()) {
      for (Node* filter : filters_above(*node)) filter->set_size(node->size());
      section.end();
    }
  }
  if (node->size() != old_size) {
    std::vector<Node*> changed = filters_above(*node);
    changed.push_back(node);
    for (Backend* user : backends_of(changed)) {
      if (user->on_resize) user->on_resize(user->root.node->size());
    }
  }
  absl::Status detached = graph.co_detach_backend(**backend);
  return status.ok() ? detached : status;
}

}  // namespace penstock
