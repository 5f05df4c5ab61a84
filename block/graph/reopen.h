// SPDX-License-Identifier: Apache-2.0
// Gives nodes that are open new options and other children, while they are in use.
//
// A description is a whole one, as for opening: what it does not say gets its default. Its name
// says which node is meant. A child that is described in place, and that goes with the node, is
// reopened with it; a name replaces the child; none detaches a backing file.
//
// Ownership: values.
// Threads: the control thread.
// Errors: ENOENT for an unknown node; EINVAL, naming the option, for what cannot be changed; EBUSY
//   for users that stand in the way, or a node that is being reopened already; those of drivers and
//   of any change. Then nothing has changed.
// Invariants: all nodes of a call change together or none. Image locks for what is new are held
//   before the old ones go. Data that was written is durable before a node becomes read-only.
#pragma once

#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "base/thread_roles.h"
#include "block/graph/change.h"
#include "block/graph/drain.h"
#include "block/graph/graph.h"
#include "block/node/options.h"

namespace penstock {

// As a part of a larger change.
std::unique_ptr<GraphChange> reopen_change(NodeOptions options);

absl::Status co_reopen(Graph& graph, const std::vector<NodeOptions>& nodes,
                       Nanoseconds limit = kDefaultDrainLimit) CONTROL_COROUTINE_CODE;

}  // namespace penstock
