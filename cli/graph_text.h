// SPDX-License-Identifier: Apache-2.0
// The graph of a server, drawn with characters and for Graphviz.
//
// Ownership: values.
// Threads: pure.
// Errors: none.
// Invariants: names that images or clients chose are made printable. Every node is drawn in full
//   once; a walk ends whatever the edges are.
#pragma once

#include <set>
#include <string>

#include "control/server_view.h"

namespace penstock {

// What is drawn: everything that reaches, or is below, the nodes in `shown`; all if it is empty.
struct GraphPart {
  std::set<std::string> nodes;

  bool has(const std::string& node) const { return nodes.empty() || nodes.count(node) != 0; }
};

// The part with `node` in it: what is below it, and what is above up to the users.
GraphPart part_with(const ServerView& server, const std::string& node);

std::string graph_text(const ServerView& server, const GraphPart& part, bool unicode);
std::string graph_dot(const ServerView& server, const GraphPart& part);

// "rw-s": consistent read, write, write unchanged, resize.
std::string permission_letters(const std::vector<std::string>& permissions);

}  // namespace penstock
