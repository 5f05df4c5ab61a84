// SPDX-License-Identifier: Apache-2.0
// What query-named-block-nodes says of a node, by QEMU's key names.
//
// Ownership: values.
// Threads: the control thread.
// Errors: none.
// Invariants: own keys begin with "x-penstock-". Depth is limited: images below the 16th are left
//   out of "backing-image".
#pragma once

#include "base/thread_roles.h"
#include "block/graph/graph.h"
#include "block/node/node.h"
#include "nlohmann/json.hpp"

namespace penstock {

// `flat`: without the images below it.
nlohmann::json node_facts(const Node& node, bool flat) GLOBAL_STATE_CODE;
// Of all nodes, by their names.
nlohmann::json all_node_facts(const Graph& graph, bool flat) GLOBAL_STATE_CODE;

}  // namespace penstock
