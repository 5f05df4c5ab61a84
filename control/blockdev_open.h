// SPDX-License-Identifier: Apache-2.0
// Opens the nodes that blockdev-add's arguments describe.
//
// Ownership: the graph owns the nodes.
// Threads: the control thread; other commands run meanwhile.
// Errors: those of parse_blockdev_options() and of opening; the graph is then as it was.
// Invariants: files that images name are opened only below the directory of the file that the
//   description names first; others have to be named in the description.
#pragma once

#include "absl/status/statusor.h"
#include "base/thread_roles.h"
#include "block/graph/graph.h"
#include "control/blockdev_options.h"
#include "nlohmann/json.hpp"

namespace penstock {

// REQUIRES: `arguments` has a "node-name", or the error says that it is missing.
absl::StatusOr<Node*> co_open_blockdev(Graph& graph,
                                       const nlohmann::json& arguments) CONTROL_COROUTINE_CODE;

// A filter above `node` as options: what `filter` does not say is as in the node.
absl::StatusOr<NodeOptions> blockdev_filter_options(const Graph& graph, const std::string& node,
                                                    const nlohmann::json& filter) GLOBAL_STATE_CODE;
// A filter above `node` and below all its users. What the description does not say is as in the
// node. It needs no name.
absl::StatusOr<Node*> co_insert_blockdev_filter(
    Graph& graph, const std::string& node, const nlohmann::json& filter) CONTROL_COROUTINE_CODE;

}  // namespace penstock
