// SPDX-License-Identifier: Apache-2.0
// Tells the person who opened an image what is wrong with it, though it can be read.
//
// Ownership: nothing is kept.
// Threads: the control thread.
// Errors: none.
// Invariants: a line for each warning, naming the file.
#pragma once

#include "base/thread_roles.h"
#include "block/node/node.h"

namespace penstock {

// Logs the warnings of the node and of everything below it.
void log_node_warnings(const Node& root) GLOBAL_STATE_CODE;

}  // namespace penstock
