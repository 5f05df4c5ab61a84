// SPDX-License-Identifier: Apache-2.0
// expect: calling function 'find' requires holding role 'control_thread_role'
// A look into the graph from a request: the control thread may be changing it.
#include "block/graph/graph.h"
#include "block/node/child.h"

namespace penstock {

#ifdef WRONG
uint64_t co_size_of(const Graph& graph) IO_CODE;
uint64_t co_size_of(const Graph& graph) { return graph.find("disk")->size(); }
#else
uint64_t size_of(const Graph& graph) GLOBAL_STATE_CODE;
uint64_t size_of(const Graph& graph) { return graph.find("disk")->size(); }

// A request uses the edge that it came along instead.
uint64_t co_size_of(const Child& child) IO_CODE;
uint64_t co_size_of(const Child& child) { return child.node->size(); }
#endif

}  // namespace penstock
