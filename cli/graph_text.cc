// SPDX-License-Identifier: Apache-2.0
#include "cli/graph_text.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/printable_text.h"
#include "control/image_info_text.h"

namespace penstock {
namespace {

struct Lines {
  const char* branch;
  const char* last;
  const char* pass;
  const char* none;
};
constexpr Lines kUnicode = {"├─ ", "└─ ", "│  ", "   "};
constexpr Lines kAscii = {"|- ", "`- ", "|  ", "   "};

std::string edge_text(const EdgeView& edge) {
  const bool says_nothing = edge.role.empty() || edge.role == edge.name || edge.role == "root";
  const std::string role = says_nothing ? "" : edge.role + " ";
  return "(" + printable_text(role) + permission_letters(edge.taken) + "/" +
         permission_letters(edge.shared) + ")";
}

// The file is told by the node that opened it, not again by those above.
bool is_told_below(const ServerView& server, const NodeView& node) {
  const std::vector<const EdgeView*> below = server.edges_below(node.name);
  return std::any_of(below.begin(), below.end(), [&](const EdgeView* edge) {
    const NodeView* const child = server.find_node(edge->child);
    return child != nullptr && child->file == node.file;
  });
}

std::string node_text(const ServerView& server, const NodeView& node) {
  std::string text = printable_text(node.name) + "  " + printable_text(node.driver) + ", " +
                     readable_size(node.size) + ", " + (node.read_only ? "ro" : "rw");
  if (!node.iothread.empty()) text += ", iothread " + printable_text(node.iothread);
  if (!node.file.empty() && !is_told_below(server, node)) text += "  " + printable_text(node.file);
  return text;
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + printable_text(word);
  return text;
}

std::string export_text(const ExportView& each) {
  std::string text = "export " + printable_text(each.id) + "  " + printable_text(each.type) +
                     " at " + printable_text(each.mount_point);
  if (!each.iothreads.empty()) text += ", iothreads " + joined(each.iothreads);
  return text + (each.ending ? ", ending" : "");
}

class TreeText {
 public:
  TreeText(const ServerView& server, const GraphPart& part, const Lines& lines)
      : server_(server), part_(part), lines_(lines) {}

  std::string draw() {
    std::set<const EdgeView*> drawn;
    for (const ExportView& each : server_.exports) {
      const EdgeView* const edge = server_.edge_of(each);
      if (!part_.has(edge == nullptr ? each.node : edge->child)) continue;
      text_ += export_text(each) + "\n";
      if (edge != nullptr) draw_edge(*edge, "", /*is_last=*/true);
      drawn.insert(edge);
    }
    for (const EdgeView& edge : server_.edges) {
      if (edge.user.empty() || !part_.has(edge.child) || drawn.count(&edge) != 0) continue;
      std::vector<const EdgeView*> of_user;
      for (const EdgeView& other : server_.edges) {
        const bool is_its = other.user == edge.user && part_.has(other.child);
        if (is_its && drawn.insert(&other).second) of_user.push_back(&other);
      }
      text_ += printable_text(edge.user) + "\n";
      for (const EdgeView* each : of_user) draw_edge(*each, "", each == of_user.back());
    }
    for (const NodeView& node : server_.nodes) {
      if (!part_.has(node.name) || has_parents(node)) continue;
      text_ += "no user\n";
      text_ += lines_.last + node_text(server_, node) + "\n";
      draw_below(node, lines_.none);
    }
    return std::move(text_);
  }

 private:
  bool has_parents(const NodeView& node) const {
    return std::any_of(server_.edges.begin(), server_.edges.end(),
                       [&](const EdgeView& edge) { return edge.child == node.name; });
  }

  void draw_edge(const EdgeView& edge, const std::string& margin, bool is_last) {
    text_ += margin + (is_last ? lines_.last : lines_.branch) + printable_text(edge.name) + ": ";
    const NodeView* const node = server_.find_node(edge.child);
    if (node == nullptr) {
      text_ += printable_text(edge.child) + "\n";
    } else if (seen_.count(node->name) != 0) {
      text_ += printable_text(node->name) + "  " + edge_text(edge) + " shown above\n";
    } else {
      text_ += node_text(server_, *node) + "  " + edge_text(edge) + "\n";
      draw_below(*node, margin + (is_last ? lines_.none : lines_.pass));
    }
  }

  void draw_below(const NodeView& node, const std::string& margin) {
    if (!seen_.insert(node.name).second) return;
    const std::vector<const EdgeView*> below = server_.edges_below(node.name);
    for (const EdgeView* edge : below) draw_edge(*edge, margin, edge == below.back());
  }

  const ServerView& server_;
  const GraphPart& part_;
  const Lines& lines_;
  std::set<std::string> seen_;
  std::string text_;
};

// In double quotes of the dot language.
std::string dot_quoted(const std::string& text) {
  std::string result = "\"";
  for (const char character : printable_text(text)) {
    if (character == '"' || character == '\\') result += '\\';
    result += character;
  }
  return result + "\"";
}

std::string dot_label(const std::string& first, const std::string& second,
                      const std::string& third) {
  std::string label = dot_quoted(first);
  label.pop_back();
  for (const std::string& line : {second, third}) {
    if (line.empty()) continue;
    label += "\\n" + dot_quoted(line).substr(1);
    label.pop_back();
  }
  return label + "\"";
}

}  // namespace

GraphPart part_with(const ServerView& server, const std::string& node) {
  GraphPart part;
  for (const std::string& below : server.subtree(node)) part.nodes.insert(below);
  // Upwards, until nothing is added: a parent's other children are below what is shown, too.
  std::vector<std::string> above = {node};
  for (size_t i = 0; i < above.size(); ++i) {
    for (const EdgeView& edge : server.edges) {
      if (edge.child != above[i] || edge.parent.empty()) continue;
      if (std::find(above.begin(), above.end(), edge.parent) != above.end()) continue;
      above.push_back(edge.parent);
      for (const std::string& below : server.subtree(edge.parent)) part.nodes.insert(below);
    }
  }
  return part;
}

std::string graph_text(const ServerView& server, const GraphPart& part, bool unicode) {
  return TreeText(server, part, unicode ? kUnicode : kAscii).draw();
}

std::string graph_dot(const ServerView& server, const GraphPart& part) {
  std::string text = "digraph penstock {\n  node [shape=box];\n";
  for (const NodeView& node : server.nodes) {
    if (!part.has(node.name)) continue;
    text += "  " + dot_quoted("node " + node.name) + " [label=" +
            dot_label(node.name,
                      node.driver + ", " + readable_size(node.size) + ", " +
                          (node.read_only ? "ro" : "rw"),
                      node.file) +
            "];\n";
  }
  for (const EdgeView& edge : server.edges) {
    if (!part.has(edge.child)) continue;
    std::string parent = "node " + edge.parent;
    if (!edge.user.empty()) {
      parent = "user " + edge.user;
      std::string place;
      for (const ExportView& each : server.exports) {
        if (server.edge_of(each) == &edge) place = each.mount_point;
      }
      text += "  " + dot_quoted(parent) +
              " [shape=ellipse, label=" + dot_label(edge.user, place, "") + "];\n";
    }
    text += "  " + dot_quoted(parent) + " -> " + dot_quoted("node " + edge.child) + " [label=" +
            dot_label(edge.name,
                      permission_letters(edge.taken) + "/" + permission_letters(edge.shared), "") +
            "];\n";
  }
  return text + "}\n";
}

std::string permission_letters(const std::vector<std::string>& permissions) {
  static constexpr std::pair<const char*, char> kLetters[] = {
      {"consistent-read", 'r'}, {"write", 'w'}, {"write-unchanged", 'u'}, {"resize", 's'}};
  std::string letters;
  for (const auto& [name, letter] : kLetters) {
    const bool has = std::find(permissions.begin(), permissions.end(), name) != permissions.end();
    letters += has ? letter : '-';
  }
  return letters;
}

}  // namespace penstock
