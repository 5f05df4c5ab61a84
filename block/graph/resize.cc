// SPDX-License-Identifier: Apache-2.0
#include "block/graph/resize.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <memory>
#include <utility>
#include <vector>

#include "base/status.h"
#include "block/backend/backend_request.h"
#include "block/graph/drain.h"
#include "block/graph/let_go.h"
#include "block/graph/topology.h"
#include "block/io/child_io.h"

namespace penstock {
namespace {

// How long requests may be kept out for no more than giving permissions back.
constexpr std::chrono::milliseconds kDetachLimit{100};

absl::Status co_resize_through(Backend& backend, uint64_t size) COROUTINE_CODE;
absl::Status co_resize_through(Backend& backend, uint64_t size) {
  BackendRequest request(backend, "resize", size, 0);
  if (!request.status().ok()) return request.status();
  return co_resize(request.root(), size);
}

// What has the node's size is drained first: no request of it may meet two sizes.
absl::Status co_resize_with_users(Graph& graph, Backend& backend,
                                  uint64_t size) CONTROL_COROUTINE_CODE;
absl::Status co_resize_with_users(Graph& graph, Backend& backend, uint64_t size) {
  Node& node = *backend.root.node;
  std::vector<Node*> above = same_size_above(node);
  if (above.empty()) return co_resize_through(backend, size);
  DrainedSection section(graph);
  absl::Status status = section.co_begin_nodes(std::move(above), kDefaultDrainLimit);
  if (!status.ok()) return status;
  status = co_resize_through(backend, size);
  // Others may have come meanwhile.
  for (Node* each : same_size_above(node)) each->set_size(node.size());
  section.end();
  return status;
}

}  // namespace

absl::Status co_resize_node(Graph& graph, const std::string& node_name, uint64_t size) {
  Node* node = graph.find(node_name);
  if (node == nullptr) {
    return errno_message(ENOENT, "There is no node called '" + node_name + "' to resize.");
  }
  absl::StatusOr<std::unique_ptr<Backend>> backend =
      graph.co_attach_backend("resize of " + node_name, *node, {kResize, kAllPermissions});
  if (!backend.ok()) return backend.status();
  absl::Status status = co_resize_with_users(graph, **backend, size);
  tell_sizes(graph);
  absl::Status detached = graph.co_detach_backend(**backend, kDetachLimit);
  // A request that hangs holds up the drain, and must not hold up others for long.
  if ((*backend)->root.node != nullptr) detached = co_let_go(graph, **backend);
  return status.ok() ? detached : status;
}

void tell_sizes(Graph& graph) {
  std::vector<const Node*> changed;
  for (Backend* const backend : graph.backends()) {
    const Node* const node = backend->root.node;
    const uint64_t size = node->size();
    if (std::exchange(backend->told_size, size) == size) continue;
    if (backend->on_resize) backend->on_resize(size);
    if (std::find(changed.begin(), changed.end(), node) == changed.end()) changed.push_back(node);
  }
  if (!graph.on_size_change) return;
  for (const Node* const node : changed) graph.on_size_change(*node);
}

}  // namespace penstock
