// SPDX-License-Identifier: Apache-2.0
#include "control/qmp/blockdev_commands.h"

#include <cerrno>
#include <cstdint>
#include <string>

#include "base/status.h"
#include "block/graph/resize.h"
#include "control/daemon_state.h"
#include "control/node_facts.h"

namespace penstock {
namespace {

using Json = nlohmann::json;

absl::StatusOr<Json> co_blockdev_add(Daemon& daemon, const Json& arguments) CONTROL_COROUTINE_CODE {
  return nothing_or(daemon.openings.co_open(arguments).status());
}

absl::StatusOr<Json> co_blockdev_cancel(Daemon& daemon,
                                        const Json& arguments) CONTROL_COROUTINE_CODE {
  return nothing_or(daemon.openings.cancel(arguments.at("node-name").get<std::string>()));
}

absl::StatusOr<Json> co_blockdev_del(Daemon& daemon, const Json& arguments) CONTROL_COROUTINE_CODE {
  const std::string name = arguments.at("node-name").get<std::string>();
  const Node* node = daemon.graph.find(name);
  if (node == nullptr) {
    return errno_message(ENOENT, "Failed to find node with node-name='" + name + "'");
  }
  const absl::Status status = daemon.graph.co_close(name);
  if (status.ok()) return Json::object();
  if (daemon.graph.find(name) != nullptr) return status;
  return annotate(status, "Node '" + name + "' is gone, but its last changes may be missing");
}

absl::StatusOr<std::string> resized_node(const Json& arguments) {
  const bool by_name = arguments.contains("node-name");
  if (by_name == arguments.contains("device")) {
    return errno_message(EINVAL, "Need exactly one of 'device' and 'node-name'");
  }
  return arguments.at(by_name ? "node-name" : "device").get<std::string>();
}

absl::StatusOr<uint64_t> size_in_bytes(const Json& size) {
  if (size.is_number_unsigned() && size.get<uint64_t>() <= INT64_MAX) return size.get<uint64_t>();
  if (size.is_number_integer() && size.get<int64_t>() >= 0) return size.get<uint64_t>();
  return errno_message(EINVAL,
                       "Parameter 'size' expects a number of bytes below 2^63, not " + size.dump());
}

absl::StatusOr<Json> co_block_resize(Daemon& daemon, const Json& arguments) CONTROL_COROUTINE_CODE {
  const absl::StatusOr<std::string> node = resized_node(arguments);
  if (!node.ok()) return node.status();
  const absl::StatusOr<uint64_t> size = size_in_bytes(arguments.at("size"));
  if (!size.ok()) return size.status();
  return nothing_or(co_resize_node(daemon.graph, *node, *size));
}

absl::StatusOr<Json> co_query_named_block_nodes(Daemon& daemon,
                                                const Json& arguments) CONTROL_COROUTINE_CODE {
  return all_node_facts(daemon.graph, arguments.value("flat", false));
}

constexpr QmpArgument kAddArguments[] = {
    {"driver", QmpType::kString, true, "the driver's name"},
    {"node-name", QmpType::kString, false, "the new node's name, required"},
    {"read-only", QmpType::kBool, false, "no writes; off"},
    {"auto-read-only", QmpType::kBool, false, "read-only if it cannot be written; off"},
    {"force-share", QmpType::kBool, false, "take no image lock that keeps others out; off"},
    {"discard", QmpType::kString, false, "'unmap' passes discards to the storage, 'ignore'"},
    {"detect-zeroes", QmpType::kString, false, "'off'"},
    {"cache", QmpType::kObject, false, "{\"direct\": BOOL}: past the host's page cache; off"},
    {"file", QmpType::kAny, false, "the node below: described here, or its name"},
    {"backing", QmpType::kAny, false, "the image below: described here, its name, or null"},
    {"data-file", QmpType::kAny, false, "where the data is: described here, or its name"},
};
constexpr QmpArgument kCancelArguments[] = {
    {"node-name", QmpType::kString, true, "the node that a blockdev-add waits for"},
};
constexpr QmpArgument kDelArguments[] = {
    {"node-name", QmpType::kString, true, "the node to close"},
};
constexpr QmpArgument kResizeArguments[] = {
    {"device", QmpType::kString, false, "the same as node-name"},
    {"node-name", QmpType::kString, false, "the node to resize"},
    {"size", QmpType::kNumber, true, "the new size in bytes"},
};
constexpr QmpArgument kQueryArguments[] = {
    {"flat", QmpType::kBool, false, "leave out what is known of the images below each"},
};

}  // namespace

std::span<const QmpCommand> blockdev_commands() {
  static const QmpCommand kCommands[] = {
      {"blockdev-add", "Opens a node, and what its description has below it.", kAddArguments, true,
       co_blockdev_add},
      {"x-penstock-blockdev-cancel", "Ends the waiting of a blockdev-add for its storage.",
       kCancelArguments, false, co_blockdev_cancel},
      {"blockdev-del", "Closes a node that nobody uses.", kDelArguments, false, co_blockdev_del},
      {"block_resize", "Changes a node's size while it is in use.", kResizeArguments, false,
       co_block_resize},
      {"query-named-block-nodes", "Lists all nodes.", kQueryArguments, false,
       co_query_named_block_nodes},
  };
  return kCommands;
}

}  // namespace penstock
