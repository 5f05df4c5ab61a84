// SPDX-License-Identifier: Apache-2.0
#include "control/server_view.h"

#include <algorithm>
#include <cerrno>
#include <set>
#include <utility>

#include "base/status.h"
#include "control/qmp/json_fields.h"
#include "control/qmp/qmp_command.h"

namespace penstock {
namespace {

using nlohmann::json;

template <typename T>
const T* find_named(const std::vector<T>& list, const std::string T::*name,
                    const std::string& wanted) {
  const auto found =
      std::find_if(list.begin(), list.end(), [&](const T& each) { return each.*name == wanted; });
  return found == list.end() ? nullptr : &*found;
}

NodeView node_view(const json& node) {
  return {.name = text_field(node, "node-name"),
          .driver = text_field(node, "drv"),
          .file = text_field(node, "file"),
          .path = text_field(node, "path"),
          .size = number_field(node, "virtual-size"),
          .read_only = bool_field(node, "ro"),
          .is_filter = bool_field(node, "filter"),
          .iothread = text_field(node, "iothread")};
}

EdgeView edge_view(const json& edge) {
  return {.parent = text_field(edge, "parent"),
          .user = text_field(edge, "user"),
          .name = text_field(edge, "name"),
          .child = text_field(edge, "child"),
          .role = text_field(edge, "role"),
          .taken = texts_field(edge, "perm"),
          .shared = texts_field(edge, "shared-perm")};
}

ExportView export_view(const json& each) {
  return {.id = text_field(each, "id"),
          .type = text_field(each, "type"),
          .node = text_field(each, "node-name"),
          .mount_point = text_field(each, "mountpoint"),
          .iothreads = texts_field(each, "iothreads"),
          .ending = bool_field(each, "shutting-down")};
}

IoThreadView iothread_view(const json& thread) {
  return {.id = text_field(thread, "id"),
          .thread_id = number_field(thread, "thread-id"),
          .poll_max = number_field(thread, "poll-max-ns"),
          .engine = text_field(thread, "engine"),
          .users = texts_field(thread, "users")};
}

}  // namespace

const NodeView* ServerView::find_node(const std::string& name) const {
  return find_named(nodes, &NodeView::name, name);
}

const ExportView* ServerView::find_export(const std::string& id) const {
  return find_named(exports, &ExportView::id, id);
}

const EdgeView* ServerView::edge_of(const ExportView& of) const {
  for (const EdgeView& edge : edges) {
    if (edge.user == "export " + of.id || edge.user == of.id) return &edge;
  }
  return nullptr;
}

std::vector<const EdgeView*> ServerView::edges_below(const std::string& node) const {
  std::vector<const EdgeView*> below;
  for (const EdgeView& edge : edges) {
    if (!edge.parent.empty() && edge.parent == node) below.push_back(&edge);
  }
  return below;
}

std::vector<const NodeView*> ServerView::filters_at(const std::string& node) const {
  std::vector<const NodeView*> filters;
  std::set<std::string> seen;
  const NodeView* at = find_node(node);
  while (at != nullptr && at->is_filter && seen.insert(at->name).second) {
    filters.push_back(at);
    const NodeView* next = nullptr;
    for (const EdgeView* edge : edges_below(at->name)) {
      if (edge->role == "filtered") next = find_node(edge->child);
    }
    at = next;
  }
  return filters;
}

const NodeView* ServerView::format_below(const std::string& node) const {
  const std::vector<const NodeView*> filters = filters_at(node);
  if (filters.empty()) return find_node(node);
  for (const EdgeView* edge : edges_below(filters.back()->name)) {
    const NodeView* const child = find_node(edge->child);
    if (edge->role == "filtered" && child != nullptr && !child->is_filter) return child;
  }
  return nullptr;
}

std::vector<std::string> ServerView::subtree(const std::string& node) const {
  std::vector<std::string> names = {node};
  std::set<std::string> seen = {node};
  for (size_t i = 0; i < names.size(); ++i) {
    for (const EdgeView* edge : edges_below(names[i])) {
      if (seen.insert(edge->child).second) names.push_back(edge->child);
    }
  }
  return names;
}

std::string image_of(const ServerView& server, const std::string& node) {
  const NodeView* const format = server.format_below(node);
  if (format == nullptr) return "";
  for (const std::string& name : server.subtree(format->name)) {
    const NodeView* const at = server.find_node(name);
    if (at != nullptr && !at->file.empty()) return at->file;
  }
  return "";
}

std::string image_path_of(const ServerView& server, const std::string& node) {
  const NodeView* at = server.format_below(node);
  std::set<std::string> seen;
  while (at != nullptr && at->path.empty() && seen.insert(at->name).second) {
    const NodeView* next = nullptr;
    for (const EdgeView* edge : server.edges_below(at->name)) {
      if (edge->name == "file") next = server.find_node(edge->child);
    }
    at = next;
  }
  return at == nullptr ? "" : at->path;
}

bool is_writable(const ServerView& server, const ExportView& of) {
  const EdgeView* const edge = server.edge_of(of);
  return edge != nullptr &&
         std::find(edge->taken.begin(), edge->taken.end(), "write") != edge->taken.end();
}

ServerView parse_server_view(json answer) {
  ServerView view;
  view.pid = static_cast<pid_t>(number_field(answer, "pid"));
  for (const json& node : list_field(answer, "nodes")) view.nodes.push_back(node_view(node));
  for (const json& edge : list_field(answer, "edges")) view.edges.push_back(edge_view(edge));
  for (const json& each : list_field(answer, "exports")) view.exports.push_back(export_view(each));
  for (const json& thread : list_field(answer, "iothreads")) {
    view.iothreads.push_back(iothread_view(thread));
  }
  view.as_told = std::move(answer);
  return view;
}

absl::StatusOr<ServerView> read_server_view(QmpClient& client) {
  absl::StatusOr<json> answer = client.execute("x-penstock-query-graph", json::object());
  if (answer.ok()) return parse_server_view(*std::move(answer));
  if (qmp_error_class(answer.status()) == "CommandNotFound") {
    return errno_message(EOPNOTSUPP, "the server at '" + client.path() +
                                         "' is not penstock's, or is older than this program: use "
                                         "'penstock qmp'");
  }
  return answer.status();
}

}  // namespace penstock
