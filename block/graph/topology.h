// SPDX-License-Identifier: Apache-2.0
// Walks over the graph, and the words for who uses a node.
//
// Ownership: answers refer to nodes of the graph.
// Threads: the control thread.
// Errors: none.
// Invariants: no recursion: a chain may be hundreds of nodes long.
#pragma once

#include <string>
#include <vector>

#include "base/thread_roles.h"
#include "block/backend/backend.h"
#include "block/node/node.h"

namespace penstock {

// `nodes` and all nodes above them, each once, parents before their children.
std::vector<Node*> with_ancestors(const std::vector<Node*>& nodes) GLOBAL_STATE_CODE;

// The nodes below `nodes` and below `backends`, each once, without `nodes` themselves.
std::vector<Node*> nodes_below(const std::vector<Node*>& nodes,
                               const std::vector<Backend*>& backends) GLOBAL_STATE_CODE;

// The backends that use one of `nodes` directly.
std::vector<Backend*> backends_of(const std::vector<Node*>& nodes) GLOBAL_STATE_CODE;

// The nodes above this one that always have its size (Driver::has_size_of_file()), parents last.
std::vector<Node*> same_size_above(Node& node) GLOBAL_STATE_CODE;

// True if one of `targets` is `start` or below it.
bool reaches_any(const Node& start, const std::vector<Node*>& targets) GLOBAL_STATE_CODE;

// The file that the node's bytes are in: the first name from the node down its "file" children;
// empty if there is none.
std::string image_file_name(const Node& node);

// "'disk'"; a made-up name says little, so that of an image's node comes with the image:
// "'#block007' (of '/images/base')". Also for a node that is being opened.
std::string quoted_name(const Node& node);

// "backend 'export0'", "node 'disk' (its 'file')".
std::string user_name(const Child& edge);

// All users of the node, separated by commas.
std::string user_names(const Node& node) GLOBAL_STATE_CODE;

}  // namespace penstock
