// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <memory>
#include <optional>
#include <string>

#include "CLI/CLI.hpp"
#include "base/printable_text.h"
#include "base/status.h"
#include "cli/commands.h"
#include "cli/exit_status.h"
#include "cli/output_format.h"
#include "cli/target_options.h"
#include "cli/text_table.h"
#include "control/image_info_text.h"
#include "control/qmp/json_fields.h"

namespace penstock {
namespace {

constexpr char kFooter[] = R"(
The server is named by --on, with a mount point, an image, an export or a node of it, or by
--socket; neither is needed while only one runs. Threads whose ids begin with '#' are the server's
own.

Examples:
  penstock iothread add io0 --on ~/mnt
  penstock move ~/mnt --iothreads io0
  penstock iothread rm io0 --move-to '#iothread0' --on ~/mnt

Exit status: 0 done, 1 failed, 2 wrong usage.)";

struct IoThreadArguments {
  TargetOptions target;
  OutputFormat output;
  std::string id;
  std::optional<uint64_t> poll_max;  // nanoseconds
  std::string move_to;
};

int add(const IoThreadArguments& arguments) {
  absl::StatusOr<Server> server = find_server(arguments.target);
  if (!server.ok()) return report(server.status());
  nlohmann::json object = {{"qom-type", "iothread"}, {"id", arguments.id}};
  if (arguments.poll_max) object["poll-max-ns"] = *arguments.poll_max;
  return report(server->client.execute("object-add", object).status());
}

int remove(const IoThreadArguments& arguments) {
  absl::StatusOr<Server> server = find_server(arguments.target);
  if (!server.ok()) return report(server.status());
  nlohmann::json object = {{"id", arguments.id}};
  if (!arguments.move_to.empty()) object["move-to"] = arguments.move_to;
  return report(server->client.execute("x-penstock-iothread-del", object).status());
}

std::string users_text(const IoThreadView& thread) {
  std::string text;
  for (const std::string& user : thread.users) {
    text += (text.empty() ? "" : ", ") + printable_text(user);
  }
  return text.empty() ? "-" : text;
}

int list(const IoThreadArguments& arguments) {
  absl::StatusOr<Server> server = find_server(arguments.target);
  if (!server.ok()) return report(server.status());
  if (arguments.output.is_json()) {
    const auto threads = nlohmann::ordered_json(list_field(server->view.as_told, "iothreads"));
    std::fputs(json_text(threads).c_str(), stdout);
    return kDone;
  }
  TextTable table("lrrll");
  table.add({"ID", "THREAD", "POLL", "ENGINE", "USERS"});
  for (const IoThreadView& thread : server->view.iothreads) {
    table.add({printable_text(thread.id), std::to_string(thread.thread_id),
               std::to_string(thread.poll_max) + " ns", printable_text(thread.engine),
               users_text(thread)});
  }
  if (!server->view.iothreads.empty()) std::fputs(table.text().c_str(), stdout);
  return kDone;
}

}  // namespace

void add_iothread_command(CLI::App& program, int& exit_status) {
  const auto arguments = std::make_shared<IoThreadArguments>();
  CLI::App& command = *program.add_subcommand("iothread", "Threads that serve disks");
  command.footer(kFooter);
  command.require_subcommand(1);

  CLI::App& adding = *command.add_subcommand("add", "Start a thread");
  adding.add_option("ID", arguments->id, "Its name")->required();
  adding
      .add_option("--poll-max-ns", arguments->poll_max,
                  "Longest spin before it sleeps, in nanoseconds (default: the server's)")
      ->type_name("N");
  arguments->target.add_server_to(adding);
  adding.callback([arguments, &exit_status] { exit_status = add(*arguments); });

  CLI::App& removing = *command.add_subcommand("rm", "End a thread; its disks move first");
  removing.add_option("ID", arguments->id, "Its name")->required();
  removing
      .add_option("--move-to", arguments->move_to,
                  "The thread that takes its disks (default: the server's own)")
      ->type_name("ID");
  arguments->target.add_server_to(removing);
  removing.callback([arguments, &exit_status] { exit_status = remove(*arguments); });

  CLI::App& listing = *command.add_subcommand("ls", "List the threads and who uses them");
  arguments->target.add_server_to(listing);
  arguments->output.add_to(listing);
  listing.callback([arguments, &exit_status] { exit_status = list(*arguments); });
}

}  // namespace penstock
