// SPDX-License-Identifier: Apache-2.0
// Several commands as one: transaction.
//
// Ownership: constants.
// Threads: the control thread.
// Errors: of the first action that fails, with its place in the list; of the change of the graph,
//   which is all actions' together. Then nothing has changed.
// Invariants: see transaction_action.h.
#pragma once

#include <span>

#include "control/qmp/qmp_command.h"

namespace penstock {

std::span<const QmpCommand> transaction_commands();

}  // namespace penstock
