// SPDX-License-Identifier: Apache-2.0
// x-penstock-query-graph: everything that is connected with something, in one answer.
//
// Ownership: constants.
// Threads: the control thread.
// Errors: none.
// Invariants: the answer is of one moment: nothing changes while it is made. Keys are those of
//   query-named-block-nodes, query-block-exports and x-debug-query-block-graph where those have
//   them.
#pragma once

#include <span>

#include "control/qmp/qmp_command.h"

namespace penstock {

std::span<const QmpCommand> graph_query_commands();

}  // namespace penstock
