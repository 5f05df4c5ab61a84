// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "base/printable_text.h"
#include "base/status.h"
#include "cli/commands.h"
#include "cli/exit_status.h"
#include "cli/graph_text.h"
#include "cli/target_options.h"
#include "cli/terminal.h"
#include "control/image_info_text.h"
#include "control/qmp/json_fields.h"
#include "control/qmp/qmp_command.h"

namespace penstock {
namespace {

using nlohmann::ordered_json;

constexpr char kFooter[] = R"(
TARGET is a mount point, an image, the id of an export or the name of a node: what is connected
with it is shown. Without it the graphs of all servers are.

A line is an edge's name, the node's name, its driver, size, access and file, and in brackets the
edge's role where it differs from its name, and permissions: those taken / those shared, with r for
consistent read, w for write, u for write unchanged and s for resize. JSON is a list with one object
a server, with the keys of query-named-block-nodes in "nodes", and "edges", "exports", "iothreads"
and "jobs".

Examples:
  penstock graph ~/mnt
  penstock graph --output=dot | dot -Tsvg > graph.svg

Exit status: 0 done, 1 no server, or none that has TARGET, 2 wrong usage.)";

struct GraphArguments {
  TargetOptions target;
  std::string output = "human";
};

// The jobs of a server; none if it has no such command.
absl::StatusOr<nlohmann::json> jobs_of(Server& server) {
  auto jobs = server.client.execute("query-jobs", nlohmann::json::object());
  if (!jobs.ok() && qmp_error_class(jobs.status()) == "CommandNotFound") {
    return nlohmann::json::array();
  }
  return jobs;
}

absl::StatusOr<ordered_json> graph_json(Server& server, const GraphPart& part) {
  const auto nodes = server.client.execute("query-named-block-nodes", {{"flat", true}});
  if (!nodes.ok()) return nodes.status();
  const absl::StatusOr<nlohmann::json> jobs = jobs_of(server);
  if (!jobs.ok()) return jobs.status();
  ordered_json graph = {{"socket", server.client.path()}, {"pid", server.view.pid}};
  graph["nodes"] = ordered_json::array();
  for (const nlohmann::json& node : *nodes) {
    if (part.has(text_field(node, "node-name"))) graph["nodes"].push_back(ordered_json(node));
  }
  graph["edges"] = ordered_json::array();
  for (const nlohmann::json& edge : list_field(server.view.as_told, "edges")) {
    if (part.has(text_field(edge, "child"))) graph["edges"].push_back(ordered_json(edge));
  }
  graph["exports"] = ordered_json::array();
  for (const nlohmann::json& each : list_field(server.view.as_told, "exports")) {
    if (part.has(text_field(each, "node-name"))) graph["exports"].push_back(ordered_json(each));
  }
  graph["iothreads"] = ordered_json(list_field(server.view.as_told, "iothreads"));
  graph["jobs"] = ordered_json(*jobs);
  return graph;
}

int print(const GraphArguments& arguments, std::vector<Server>& servers, const GraphPart& part) {
  if (arguments.output == "json") {
    ordered_json list = ordered_json::array();
    for (Server& server : servers) {
      absl::StatusOr<ordered_json> graph = graph_json(server, part);
      if (!graph.ok()) return report(graph.status());
      list.push_back(*std::move(graph));
    }
    std::fputs(json_text(list).c_str(), stdout);
    return kDone;
  }
  for (const Server& server : servers) {
    if (arguments.output == "dot") {
      std::fputs(graph_dot(server.view, part).c_str(), stdout);
      continue;
    }
    if (servers.size() > 1) {
      std::printf("%sserver %d  %s\n", &server == servers.data() ? "" : "\n", server.view.pid,
                  printable_text(server.client.path()).c_str());
    }
    std::fputs(graph_text(server.view, part, shows_unicode()).c_str(), stdout);
  }
  return kDone;
}

int run(const GraphArguments& arguments) {
  std::vector<Server> servers;
  if (!arguments.target.target.empty()) {
    absl::StatusOr<Target> target = find_target(arguments.target);
    if (!target.ok()) return report(target.status());
    const GraphPart part = part_with(target->server.view, target->node);
    servers.push_back(std::move(target->server));
    return print(arguments, servers, part);
  }
  std::vector<absl::Status> failures;
  servers = connect_servers(arguments.target, &failures);
  const int printed = print(arguments, servers, GraphPart());
  for (const absl::Status& failure : failures) report(failure);
  return failures.empty() ? printed : kFailed;
}

}  // namespace

void add_graph_command(CLI::App& program, int& exit_status) {
  const auto arguments = std::make_shared<GraphArguments>();
  CLI::App& command = *program.add_subcommand("graph", "Show the nodes of a disk as a tree");
  command.footer(kFooter);
  arguments->target.add_to(command);
  command.add_option("--output", arguments->output, "How to print: human, json or dot")
      ->check(CLI::IsMember({"human", "json", "dot"}))
      ->capture_default_str();
  command.callback([arguments, &exit_status] { exit_status = run(*arguments); });
}

}  // namespace penstock
