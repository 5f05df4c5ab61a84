// SPDX-License-Identifier: Apache-2.0
#include "control/blockdev_open.h"

#include <cerrno>
#include <memory>
#include <utility>

#include "base/status.h"
#include "control/chain_options.h"
#include "control/image_names_policy.h"

namespace penstock {
namespace {

struct TopFile {
  std::string image;            // empty: there is none
  NodeOptions* node = nullptr;  // where it is described; nullptr: it is open already
};

// The file that an open node stands on, by the path that it was opened by.
std::string open_file(const Node& node) GLOBAL_STATE_CODE {
  const Node* at = &node;
  for (const Child* below = at->find_child("file"); below != nullptr && below->node != nullptr;
       below = at->find_child("file")) {
    at = below->node;
  }
  return at->options.resolved_path.empty() ? at->file_name : at->options.resolved_path;
}

// The file that the description names first, going down its "file" children.
TopFile top_file(const Graph& graph, NodeOptions& options) GLOBAL_STATE_CODE {
  NodeOptions* at = &options;
  while (true) {
    const auto named = at->driver_options.find("filename");
    if (named != at->driver_options.end() && named->is_string()) {
      return {named->get<std::string>(), at};
    }
    const auto below = at->children.find("file");
    if (below == at->children.end()) return {};
    if (below->second.inline_options == nullptr) {
      const Node* node = graph.find(below->second.reference);
      return {node == nullptr ? "" : open_file(*node), nullptr};
    }
    at = below->second.inline_options.get();
  }
}

bool is_file_driver(const std::string& name) { return name == "file" || name == "host_device"; }

absl::StatusOr<Node*> co_open(Graph& graph, NodeOptions options) CONTROL_COROUTINE_CODE {
  const TopFile file = top_file(graph, options);
  if (!file.image.empty()) {
    auto names = std::make_shared<ImageNamesPolicy>(graph.drivers(), graph.host(), file.image,
                                                    ChainOptions());
    if (file.node != nullptr && is_file_driver(file.node->driver)) {
      // What is opened is then what the policy knows, whatever is put in its place meanwhile.
      absl::StatusOr<std::string> real_path = names->co_resolve_image();
      if (!real_path.ok()) return real_path.status();
      file.node->resolved_path = std::move(*real_path);
    }
    options.image_names = std::move(names);
  }
  return graph.co_open(options);
}

bool means_not_writable(const absl::Status& status) {
  const int error = status_errno(status);
  return error == EACCES || error == EPERM || error == EROFS;
}

}  // namespace

absl::StatusOr<Node*> co_open_blockdev(Graph& graph, const nlohmann::json& arguments) {
  absl::StatusOr<BlockdevOptions> options = parse_blockdev_options(graph.drivers(), arguments);
  if (!options.ok()) return options.status();
  if (options->node.node_name.empty()) {
    return errno_message(EINVAL, "'node-name' must be specified for the root node");
  }
  absl::StatusOr<Node*> node = co_open(graph, std::move(options->node));
  if (node.ok() || !options->read_only_instead || !means_not_writable(node.status())) return node;
  return co_open(graph, std::move(*options->read_only_instead));
}

absl::StatusOr<NodeOptions> blockdev_filter_options(const Graph& graph, const std::string& node,
                                                    const nlohmann::json& filter) {
  const Node* below = graph.find(node);
  if (below == nullptr) {
    return errno_message(ENOENT, "There is no node called '" + node + "' to put a filter above.");
  }
  BlockdevDefaults defaults;
  defaults.read_only = below->read_only;
  defaults.force_share = below->options.force_share;
  defaults.cache_direct = below->options.cache_direct;
  defaults.discard_unmap = below->options.discard_unmap;
  absl::StatusOr<BlockdevOptions> options =
      parse_blockdev_options(graph.drivers(), filter, defaults);
  if (!options.ok()) return annotate(options.status(), "filter");
  return std::move(options->node);
}

absl::StatusOr<Node*> co_insert_blockdev_filter(Graph& graph, const std::string& node,
                                                const nlohmann::json& filter) {
  const absl::StatusOr<NodeOptions> options = blockdev_filter_options(graph, node, filter);
  if (!options.ok()) return options.status();
  return graph.co_insert_filter(*options, node);
}

}  // namespace penstock
