// SPDX-License-Identifier: Apache-2.0
// Moves nodes to another home context: the thread of their own timers and background work.
//
// Requests do not need a home. They run where they arrive, and go on doing so.
//
// Ownership: a node that is at home on an IoThread counts as its user until it moves or is closed.
// Threads: the control thread; the nodes are drained meanwhile.
// Errors: ENOENT for the node or the IoThread; ETIMEDOUT from the drain. Then nothing has moved.
// Invariants: the nodes that a call moves move together, or none.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/thread_roles.h"
#include "block/graph/graph.h"
#include "control/iothread_registry.h"

namespace penstock {

// A node and all that is below it. `iothread` empty: to the control thread, where nodes are at
// first.
absl::Status co_set_node_home(Graph& graph, IoThreadRegistry& iothreads, const std::string& node,
                              const std::optional<std::string>& iothread) CONTROL_COROUTINE_CODE;

// The names of the nodes that are at home on an IoThread.
std::vector<std::string> nodes_at_home_on(const Graph& graph, const IoThreadRegistry& iothreads,
                                          const std::string& iothread) GLOBAL_STATE_CODE;

// These nodes alone, wherever they are; names that are gone meanwhile are passed over.
absl::Status co_set_home_of(Graph& graph, IoThreadRegistry& iothreads,
                            const std::vector<std::string>& nodes,
                            const std::optional<std::string>& iothread) CONTROL_COROUTINE_CODE;

}  // namespace penstock
