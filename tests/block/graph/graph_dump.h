// SPDX-License-Identifier: Apache-2.0
// A graph as text, for comparisons: nodes, edges, permissions, backends, and what changes under way
// have left behind.
//
// Ownership: a value.
// Threads: the control thread.
// Errors: none.
// Invariants: two dumps are equal if and only if nothing has changed that a request or a command
//   could notice.
#pragma once

#include <string>

#include "base/thread_roles.h"
#include "block/graph/graph.h"

namespace penstock {

std::string dump_graph(Graph& graph) GLOBAL_STATE_CODE;

}  // namespace penstock
