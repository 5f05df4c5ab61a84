// SPDX-License-Identifier: Apache-2.0
// Opens a filter above a node, used by nobody yet; the node's users come later (redirect_users.h).
//
// Ownership: the graph owns the filter.
// Threads: the control thread.
// Errors: EINVAL for a driver that is no filter or options that name children; those of opening.
//   Then nothing is left.
// Invariants: none.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "base/thread_roles.h"
#include "block/graph/graph.h"
#include "block/node/options.h"

namespace penstock {

absl::StatusOr<Node*> co_open_filter(Graph& graph, const NodeOptions& options,
                                     const std::string& node) CONTROL_COROUTINE_CODE;

// Closes it again; `status` with a word about that, should it stay.
absl::Status co_close_filter(Graph& graph, const std::string& filter,
                             const absl::Status& status) CONTROL_COROUTINE_CODE;

}  // namespace penstock
