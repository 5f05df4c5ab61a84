// SPDX-License-Identifier: Apache-2.0
#include "control/qmp/graph_commands.h"

#include <cerrno>
#include <optional>
#include <string>

#include "base/status.h"
#include "control/blockdev_open.h"
#include "control/daemon_state.h"
#include "control/node_home.h"

namespace penstock {
namespace {

using Json = nlohmann::json;

std::string text(const Json& arguments, const char* name) {
  return arguments.at(name).get<std::string>();
}

absl::StatusOr<Json> co_set_iothread(Daemon& daemon, const Json& arguments) CONTROL_COROUTINE_CODE {
  const Json& given = arguments.at("iothread");
  if (!given.is_string() && !given.is_null()) {
    return errno_message(EINVAL, "Invalid parameter type for 'iothread', expected: string or null");
  }
  std::optional<std::string> iothread;
  if (given.is_string()) iothread = given.get<std::string>();
  return nothing_or(
      co_set_node_home(daemon.graph, daemon.iothreads, text(arguments, "node-name"), iothread));
}

absl::StatusOr<Json> co_insert_filter(Daemon& daemon,
                                      const Json& arguments) CONTROL_COROUTINE_CODE {
  const absl::StatusOr<Node*> filter =
      co_insert_blockdev_filter(daemon.graph, text(arguments, "node-name"), arguments.at("filter"));
  if (!filter.ok()) return filter.status();
  return Json{{"node-name", (*filter)->name}};
}

absl::StatusOr<Json> co_remove_filter(Daemon& daemon,
                                      const Json& arguments) CONTROL_COROUTINE_CODE {
  return nothing_or(daemon.graph.co_remove_filter(text(arguments, "node-name")));
}

absl::StatusOr<Json> co_replace_child(Daemon& daemon,
                                      const Json& arguments) CONTROL_COROUTINE_CODE {
  return nothing_or(daemon.graph.co_replace_child(
      text(arguments, "parent"), text(arguments, "child"), text(arguments, "node")));
}

constexpr QmpArgument kHomeArguments[] = {
    {"node-name", QmpType::kString, true, "the node; all below it moves too"},
    {"iothread", QmpType::kAny, true, "the IoThread's id, or null for the control thread"},
    {"force", QmpType::kBool, false, "not needed: nodes in use can be moved"},
};
constexpr QmpArgument kInsertArguments[] = {
    {"node-name", QmpType::kString, true, "the node that gets a filter above it"},
    {"filter", QmpType::kObject, true, "the filter as for blockdev-add, without \"file\""},
};
constexpr QmpArgument kRemoveArguments[] = {
    {"node-name", QmpType::kString, true, "the filter"},
};
constexpr QmpArgument kReplaceArguments[] = {
    {"parent", QmpType::kString, true, "the node whose child changes"},
    {"child", QmpType::kString, true, "which one: \"file\", \"backing\""},
    {"node", QmpType::kString, true, "the new child"},
};

}  // namespace

std::span<const QmpCommand> graph_commands() {
  static const QmpCommand kCommands[] = {
      {"x-blockdev-set-iothread", "Moves a node's own background work to another thread.",
       kHomeArguments, false, co_set_iothread},
      {"x-penstock-insert-filter",
       "Puts a filter between a node and all who use it, and tells the filter's name.",
       kInsertArguments, false, co_insert_filter},
      {"x-penstock-remove-filter", "Takes a filter out again and closes it.", kRemoveArguments,
       false, co_remove_filter},
      {"x-penstock-replace-child", "Points an edge of a node to another node.", kReplaceArguments,
       false, co_replace_child},
  };
  return kCommands;
}

}  // namespace penstock
