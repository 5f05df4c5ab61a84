// SPDX-License-Identifier: Apache-2.0
// The node whose bytes a node shows.
//
// Ownership: borrows.
// Threads: the control thread, or in flight in the node.
// Errors: none.
// Invariants: none.
#pragma once

#include "block/node/node.h"

namespace penstock {

// `top` itself, or the first one below it that is no filter, or that has nothing below it.
const Node& below_filters(const Node& top);

}  // namespace penstock
