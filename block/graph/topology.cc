// SPDX-License-Identifier: Apache-2.0
#include "block/graph/topology.h"

#include <algorithm>
#include <set>

#include "base/printable_text.h"

namespace penstock {

std::vector<Node*> with_ancestors(const std::vector<Node*>& nodes) {
  // Depth first along the parents; a node is listed once all its parents are.
  struct Visit {
    Node* node;
    size_t next_parent;
  };
  std::vector<Node*> result;
  std::set<const Node*> seen;
  std::vector<Visit> path;
  for (Node* start : nodes) {
    if (seen.insert(start).second) path.push_back({start, 0});
    while (!path.empty()) {
      Visit& visit = path.back();
      if (visit.next_parent == visit.node->parents.size()) {
        result.push_back(visit.node);
        path.pop_back();
        continue;
      }
      Node* parent = visit.node->parents[visit.next_parent++]->parent;
      if (parent != nullptr && seen.insert(parent).second) path.push_back({parent, 0});
    }
  }
  return result;
}

std::vector<Node*> nodes_below(const std::vector<Node*>& nodes,
                               const std::vector<Backend*>& backends) {
  std::set<const Node*> seen(nodes.begin(), nodes.end());
  std::vector<Node*> result;
  const auto reach = [&](Node* node) {
    if (node != nullptr && seen.insert(node).second) result.push_back(node);
  };
  for (const Node* node : nodes) {
    for (const auto& child : node->children) reach(child->node);
  }
  for (const Backend* backend : backends) reach(backend->root.node);
  // It grows while it is walked.
  for (size_t i = 0; i < result.size(); ++i) {
    for (const auto& child : result[i]->children) reach(child->node);
  }
  return result;
}

std::vector<Backend*> backends_of(const std::vector<Node*>& nodes) {
  std::vector<Backend*> result;
  for (const Node* node : nodes) {
    for (const Child* edge : node->parents) {
      if (edge->backend != nullptr) result.push_back(edge->backend);
    }
  }
  return result;
}

std::vector<Node*> same_size_above(Node& node) {
  std::vector<Node*> result{&node};
  for (size_t i = 0; i < result.size(); ++i) {
    for (const Child* edge : result[i]->parents) {
      Node* parent = edge->parent;
      const bool same = parent != nullptr && parent->driver != nullptr &&
                        parent->driver->has_size_of_file() && edge->name == "file";
      if (same) result.push_back(parent);
    }
  }
  result.erase(result.begin());
  return result;
}

bool reaches_any(const Node& start, const std::vector<Node*>& targets) {
  std::set<const Node*> seen{&start};
  std::vector<const Node*> left{&start};
  while (!left.empty()) {
    const Node* node = left.back();
    left.pop_back();
    if (std::find(targets.begin(), targets.end(), node) != targets.end()) return true;
    for (const auto& child : node->children) {
      if (child->node != nullptr && seen.insert(child->node).second) left.push_back(child->node);
    }
  }
  return false;
}

std::string image_file_name(const Node& node) {
  const Node* at = &node;
  while (at->file_name.empty()) {
    const Child* const file = at->find_child("file");
    if (file == nullptr || file->node == nullptr) return "";
    at = file->node;
  }
  return at->file_name;
}

std::string quoted_name(const Node& node) {
  const std::string text = "'" + node.name + "'";
  if (node.name.empty() || node.name.front() != '#') return text;
  const std::string file_name = image_file_name(node);
  return file_name.empty() ? text : text + " (of '" + printable_text(file_name) + "')";
}

std::string user_name(const Child& edge) {
  if (edge.backend != nullptr) return "backend '" + edge.backend->name + "'";
  return "node " + quoted_name(*edge.parent) + " (its '" + edge.name + "')";
}

std::string user_names(const Node& node) {
  std::string result;
  for (const Child* edge : node.parents) {
    if (!result.empty()) result += ", ";
    result += user_name(*edge);
  }
  return result;
}

}  // namespace penstock
