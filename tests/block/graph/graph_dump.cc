// SPDX-License-Identifier: Apache-2.0
#include "tests/block/graph/graph_dump.h"

#include <sstream>

#include "block/graph/topology.h"

namespace penstock {
namespace {

void dump_edge(const Child& edge, std::ostream& out) {
  const Permissions permissions = edge.permissions();
  out << edge.name << " -> " << (edge.node == nullptr ? "nothing" : edge.node->name) << " takes "
      << permissions.taken << " shares " << permissions.shared << "\n";
}

void dump_options(const NodeOptions& options, std::ostream& out) {
  out << options.driver << " " << options.node_name << (options.read_only ? " read-only" : "")
      << (options.force_share ? " force-share" : "") << (options.cache_direct ? " direct" : "")
      << (options.discard_unmap ? " unmap" : "") << " " << options.driver_options.dump();
  for (const auto& [name, child] : options.children) {
    out << " " << name << "=" << (child.inline_options ? "inline" : child.reference);
  }
}

void dump_node(const Node& node, std::ostream& out) GLOBAL_STATE_CODE {
  out << "node " << node.name << (node.user_named ? " named" : "") << " driver "
      << node.driver.get() << (node.read_only ? " read-only" : "") << " size " << node.size()
      << " file '" << node.file_name << "' drained " << node.drain_depth << " home "
      << node.home.get() << " aligned " << node.limits.request_alignment << "\n  opened as ";
  dump_options(node.options, out);
  out << "\n";
  for (const auto& child : node.children) {
    out << "  ";
    dump_edge(*child, out);
  }
  out << "  used by " << user_names(node) << "\n";
}

}  // namespace

std::string dump_graph(Graph& graph) {
  std::ostringstream out;
  for (const Node* node : graph.nodes()) dump_node(*node, out);
  for (const Backend* backend : graph.backends()) {
    out << "backend " << backend->name << " quiesced " << backend->gate.quiesce_depth() << " ";
    dump_edge(backend->root, out);
  }
  const ChangeState& state = graph.changes();
  out << "under way: " << state.sections.size() << " " << state.driver_drains.size() << " "
      << state.driver_hurries.size() << " " << state.pins.size() << " " << state.claims.size()
      << " " << state.closing.size() << " " << state.reopening.size() << " "
      << state.reserved_names.size() << "\n";
  return out.str();
}

}  // namespace penstock
