// SPDX-License-Identifier: Apache-2.0
#include <cerrno>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "base/printable_text.h"
#include "base/status.h"
#include "cli/commands.h"
#include "cli/exit_status.h"
#include "cli/filter_options.h"
#include "cli/target_options.h"
#include "control/qmp/json_fields.h"

namespace penstock {
namespace {

constexpr char kFooter[] = R"(
TARGET is a mount point, an image, the id of an export or the name of a node. A filter goes between
the node and all who use it, and out again, while the disk is in use. KEY=VALUE are the driver's
options; dots lead into objects, numbers into lists, and a value may be JSON. 'add' prints the name
of the new node. FILTER is a node's name, or a driver's if it is there once.

Examples:
  penstock filter add ~/mnt faults node-name=f rules.0=write_aio:nth=3:errno=EIO
  penstock filter rm ~/mnt f

Exit status: 0 done, 1 failed, 2 wrong usage.)";

struct FilterArguments {
  TargetOptions target;
  std::string word;  // the driver, or the filter
  std::vector<std::string> options;
};

int add(const FilterArguments& arguments) {
  absl::StatusOr<nlohmann::json> filter = parse_filter_options(arguments.options);
  if (filter.ok() && filter->contains("driver")) {
    filter = errno_message(EINVAL, "the driver is named once, before the options");
  }
  if (!filter.ok()) {
    print_error(status_text(filter.status()) + "; see 'penstock filter --help'");
    return kUsage;
  }
  (*filter)["driver"] = arguments.word;
  absl::StatusOr<Target> target = find_target(arguments.target);
  if (!target.ok()) return report(target.status());
  const auto added = target->server.client.execute(
      "x-penstock-insert-filter", {{"node-name", target->node}, {"filter", *filter}});
  if (!added.ok()) return report(annotate(added.status(), target->name + " gets no filter"));
  std::puts(printable_text(text_field(*added, "node-name")).c_str());
  return kDone;
}

absl::StatusOr<std::string> filter_named(const Target& target, const std::string& word) {
  std::vector<std::string> by_driver;
  std::string all;
  for (const std::string& name : target.server.view.subtree(target.node)) {
    const NodeView* const node = target.server.view.find_node(name);
    if (node == nullptr || !node->is_filter) continue;
    if (name == word) return name;
    if (node->driver == word) by_driver.push_back(name);
    all += (all.empty() ? "" : ", ") + name + " (" + node->driver + ")";
  }
  if (by_driver.size() == 1) return by_driver.front();
  const std::string what =
      by_driver.empty() ? " has no filter '" + word + "'" : " has several filters '" + word + "'";
  return errno_message(
      by_driver.empty() ? ENOENT : EINVAL,
      target.name + what + (all.empty() ? ", nor any other" : ": there is " + all));
}

int remove(const FilterArguments& arguments) {
  absl::StatusOr<Target> target = find_target(arguments.target);
  if (!target.ok()) return report(target.status());
  const absl::StatusOr<std::string> filter = filter_named(*target, arguments.word);
  if (!filter.ok()) return report(filter.status());
  const auto removed =
      target->server.client.execute("x-penstock-remove-filter", {{"node-name", *filter}});
  return report(annotate(removed.status(), target->name + " keeps its filter"));
}

}  // namespace

void add_filter_command(CLI::App& program, int& exit_status) {
  const auto arguments = std::make_shared<FilterArguments>();
  CLI::App& command =
      *program.add_subcommand("filter", "Put filters into a disk, or take them out");
  command.footer(kFooter);
  command.require_subcommand(1);

  CLI::App& adding = *command.add_subcommand("add", "Put a filter above a node");
  arguments->target.add_to(adding, TargetOptions::Presence::kRequired);
  adding.add_option("DRIVER", arguments->word, "throttle, faults, copy-on-read, ...")->required();
  adding.add_option("KEY=VALUE", arguments->options, "The driver's options")->expected(0, 100);
  adding.callback([arguments, &exit_status] { exit_status = add(*arguments); });

  CLI::App& removing = *command.add_subcommand("rm", "Take a filter out and close it");
  arguments->target.add_to(removing, TargetOptions::Presence::kRequired);
  removing.add_option("FILTER", arguments->word, "The filter's node, or its driver")->required();
  removing.callback([arguments, &exit_status] { exit_status = remove(*arguments); });
}

}  // namespace penstock
