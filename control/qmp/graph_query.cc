// SPDX-License-Identifier: Apache-2.0
#include "control/qmp/graph_query.h"

#include <unistd.h>

#include <climits>
#include <string>
#include <utility>

#include "block/backend/backend.h"
#include "block/node/driver.h"
#include "control/daemon_state.h"
#include "drivers/file/file_driver.h"
#include "iothreads/control_thread.h"

namespace penstock {
namespace {

using nlohmann::json;

json permissions_json(Permission permissions) {
  static constexpr std::pair<Permission, const char*> kNames[] = {
      {kConsistentRead, "consistent-read"},
      {kWrite, "write"},
      {kWriteUnchanged, "write-unchanged"},
      {kResize, "resize"},
  };
  json names = json::array();
  for (const auto& [permission, name] : kNames) {
    if ((permissions & permission) != 0) names.push_back(name);
  }
  return names;
}

const char* role_name(ChildRole role) {
  switch (role) {
    case ChildRole::kRoot:
      return "root";
    case ChildRole::kFiltered:
      return "filtered";
    case ChildRole::kImage:
      return "image";
    case ChildRole::kData:
      return "data";
    case ChildRole::kBacking:
      return "backing";
  }
  return "";
}

// Of the node's own open file, wherever it is now: the name that it was opened by may be relative
// to a directory that nobody knows any more. Null if the node has none.
json path_of(const Node& node) {
  const auto* const file = dynamic_cast<const FileDriver*>(node.driver.get());
  if (file == nullptr) return nullptr;
  std::string path(PATH_MAX, '\0');
  const std::string link = "/proc/self/fd/" + std::to_string(file->handle().fd.get());
  const ssize_t length = ::readlink(link.c_str(), path.data(), path.size());
  if (length <= 0 || path.front() != '/') return nullptr;
  path.resize(static_cast<size_t>(length));
  return path;
}

json node_json(const Node& node) GLOBAL_STATE_CODE;
json node_json(const Node& node) {
  const bool has_iothread = node.home != nullptr && node.home.get() != &control_context();
  return {{"node-name", node.name},
          {"drv", node.driver_name},
          {"file", node.file_name},
          {"path", path_of(node)},
          {"ro", node.read_only},
          {"virtual-size", node.size()},
          {"filter", node.driver->is_filter()},
          {"iothread", has_iothread ? json(node.home->name()) : json()}};
}

json edge_json(const Child& edge) {
  json facts = {{"name", edge.name},
                {"child", edge.node->name},
                {"role", role_name(edge.role)},
                {"perm", permissions_json(edge.permissions().taken)},
                {"shared-perm", permissions_json(edge.permissions().shared)}};
  if (edge.backend != nullptr) {
    facts["user"] = edge.backend->name;
  } else {
    facts["parent"] = edge.parent->name;
  }
  return facts;
}

absl::StatusOr<json> co_query_graph(Daemon& daemon, const json& arguments) CONTROL_COROUTINE_CODE;
absl::StatusOr<json> co_query_graph(Daemon& daemon, const json& /*arguments*/) {
  json nodes = json::array();
  json edges = json::array();
  for (const Backend* const backend : daemon.graph.backends()) {
    if (backend->root.node != nullptr) edges.push_back(edge_json(backend->root));
  }
  for (const Node* const node : daemon.graph.nodes()) {
    nodes.push_back(node_json(*node));
    for (const auto& child : node->children) {
      if (child->node != nullptr) edges.push_back(edge_json(*child));
    }
  }
  json exports = json::array();
  for (const ExportRegistry::Facts& each : daemon.exports.list()) {
    if (each.of == nullptr) continue;
    exports.push_back({{"id", each.id},
                       {"type", each.of->type()},
                       {"node-name", each.of->node_name()},
                       {"mountpoint", each.of->mount_point()},
                       {"iothreads", each.of->iothreads()},
                       {"shutting-down", each.shutting_down}});
  }
  json threads = json::array();
  for (const IoThreadRegistry::Facts& thread : daemon.iothreads.list()) {
    threads.push_back({{"id", thread.id},
                       {"thread-id", thread.thread_id},
                       {"poll-max-ns", thread.poll_max.count()},
                       {"engine", thread.engine},
                       {"users", thread.users}});
  }
  return json{{"pid", ::getpid()},
              {"nodes", std::move(nodes)},
              {"edges", std::move(edges)},
              {"exports", std::move(exports)},
              {"iothreads", std::move(threads)}};
}

constexpr QmpCommand kCommands[] = {
    {"x-penstock-query-graph",
     "Lists nodes, edges with their permissions, exports and iothreads, all of one moment.",
     {},
     false,
     co_query_graph},
};

}  // namespace

std::span<const QmpCommand> graph_query_commands() { return kCommands; }

}  // namespace penstock
