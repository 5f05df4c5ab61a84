// SPDX-License-Identifier: Apache-2.0
// Who holds up a drain, in words.
//
// Ownership: borrows.
// Threads: the control thread; it reads the tags of requests that run meanwhile.
// Errors: none; a request that ends just now may be missed.
// Invariants: tags are compared by identity and never followed.
#pragma once

#include <string>
#include <vector>

#include "base/thread_roles.h"

namespace penstock {

class Backend;
class Graph;
class Node;

// One sentence that names a request which is inside one of the gates or nodes.
std::string describe_holder(const Graph& graph, const std::vector<Backend*>& gates,
                            const std::vector<Node*>& nodes) GLOBAL_STATE_CODE;

}  // namespace penstock
