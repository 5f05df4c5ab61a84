// SPDX-License-Identifier: Apache-2.0
#include "block/graph/graph_edit.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "block/graph/drain.h"

namespace penstock {

void GraphEdit::redirect(Child& edge, Node* target) noexcept {
  if (edge.node != nullptr) std::erase(edge.node->parents, &edge);
  edge.node = target;
  if (target != nullptr) target->parents.push_back(&edge);
}

void GraphEdit::publish(std::unique_ptr<Node> node) noexcept {
  Node& published = *node;
  graph_.nodes_.emplace(published.name, std::move(node));
  for (DrainedSection* section : graph_.changes_.sections) section->note_new_node(published);
}

std::unique_ptr<Node> GraphEdit::withdraw(Node& node) noexcept {
  for (DrainedSection* section : graph_.changes_.sections) section->forget_node(node);
  const auto found = graph_.nodes_.find(node.name);
  if (found == graph_.nodes_.end() || found->second.get() != &node) return nullptr;
  std::unique_ptr<Node> result = std::move(found->second);
  graph_.nodes_.erase(found);
  return result;
}

void GraphEdit::add_backend(Backend& backend) noexcept { graph_.backends_.push_back(&backend); }

void GraphEdit::remove_backend(Backend& backend) noexcept {
  std::erase(graph_.backends_, &backend);
}

void GraphEdit::finish() noexcept {
  ++graph_.generation_;
  for (DrainedSection* section : graph_.changes_.sections) section->cover_again();
}

std::string GraphEdit::make_up_name() {
  std::string name;
  do {
    char digits[32];
    std::snprintf(digits, sizeof(digits), "#block%03llu",
                  static_cast<unsigned long long>(graph_.next_name_++));
    name = digits;
  } while (graph_.nodes_.count(name) != 0);
  return name;
}

}  // namespace penstock
