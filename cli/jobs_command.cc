// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "base/printable_text.h"
#include "base/status.h"
#include "cli/commands.h"
#include "cli/exit_status.h"
#include "cli/job_wait.h"
#include "cli/output_format.h"
#include "cli/target_options.h"
#include "cli/text_table.h"
#include "control/image_info_text.h"
#include "control/qmp/qmp_command.h"

namespace penstock {
namespace {

using nlohmann::json;

constexpr char kFooter[] = R"(
Without a word the jobs are listed: of all servers, or of the one that --on or --socket names. A job
stays in the list when it has concluded, until it is dismissed; that also closes the file of a
backup that was started with --detach. JSON has the keys of query-jobs, and the server's pid and
socket.

Examples:
  penstock jobs
  penstock jobs cancel backup0

Exit status: 0 done, 1 failed, 2 wrong usage.)";

struct JobsArguments {
  TargetOptions target;
  OutputFormat output;
  std::string id;
};

struct ServerJobs {
  Server server;
  json jobs = json::array();
};

absl::StatusOr<std::vector<ServerJobs>> read_jobs(const TargetWords& words) {
  std::vector<Server> servers;
  std::vector<absl::Status> failures;
  if (words.target.empty()) {
    servers = connect_servers(words, &failures);
  } else {
    absl::StatusOr<Server> server = find_server(words);
    if (!server.ok()) return server.status();
    servers.push_back(*std::move(server));
  }
  if (servers.empty() && !failures.empty()) return failures.front();
  std::vector<ServerJobs> all;
  for (Server& server : servers) {
    absl::StatusOr<json> jobs = server.client.execute("query-jobs", json::object());
    if (!jobs.ok() && qmp_error_class(jobs.status()) == "CommandNotFound") continue;
    if (!jobs.ok()) return jobs.status();
    all.push_back({.server = std::move(server), .jobs = *std::move(jobs)});
  }
  return all;
}

std::string progress_text(const JobFacts& job) {
  if (job.total == 0) return "-";
  const double part = static_cast<double>(job.current) / static_cast<double>(job.total);
  return std::to_string(static_cast<int>(part * 100)) + " %";
}

int list(const JobsArguments& arguments) {
  const absl::StatusOr<std::vector<ServerJobs>> all = read_jobs(arguments.target);
  if (!all.ok()) return report(all.status());
  nlohmann::ordered_json as_json = nlohmann::ordered_json::array();
  TextTable table("lllrrl");
  table.add({"JOB", "TYPE", "STATUS", "DONE", "PID", "ERROR"});
  for (const auto& [server, jobs] : *all) {
    for (const json& each : jobs) {
      nlohmann::ordered_json entry = each;
      entry["pid"] = server.view.pid;
      entry["socket"] = server.client.path();
      as_json.push_back(std::move(entry));
      const JobFacts job = parse_job_facts(each);
      table.add({printable_text(job.id), printable_text(job.type), printable_text(job.status),
                 progress_text(job), std::to_string(server.view.pid), printable_text(job.error)});
    }
  }
  if (arguments.output.is_json()) {
    std::fputs(json_text(as_json).c_str(), stdout);
  } else {
    std::fputs(as_json.empty() ? "no jobs\n" : table.text().c_str(), stdout);
  }
  return kDone;
}

// The one server that has the job.
absl::StatusOr<Server> server_of_job(const JobsArguments& arguments) {
  absl::StatusOr<std::vector<ServerJobs>> all = read_jobs(arguments.target);
  if (!all.ok()) return all.status();
  ServerJobs* owner = nullptr;
  for (ServerJobs& each : *all) {
    for (const json& job : each.jobs) {
      if (parse_job_facts(job).id != arguments.id) continue;
      if (owner != nullptr) {
        return errno_message(EINVAL, "several servers have a job '" + arguments.id + "' (PIDs " +
                                         std::to_string(owner->server.view.pid) + " and " +
                                         std::to_string(each.server.view.pid) +
                                         "): say which with --on or --socket");
      }
      owner = &each;
    }
  }
  if (owner != nullptr) return std::move(owner->server);
  return errno_message(ENOENT,
                       "there is no job '" + arguments.id + "': 'penstock jobs' lists them");
}

int change(const JobsArguments& arguments, const char* command) {
  absl::StatusOr<Server> server = server_of_job(arguments);
  if (!server.ok()) return report(server.status());
  return report(server->client.execute(command, {{"id", arguments.id}}).status());
}

// A name that 'penstock backup' gives: it has opened the target, too.
bool is_backup(const std::string& id) {
  constexpr std::string_view kPrefix = "backup";
  return id.size() > kPrefix.size() && id.starts_with(kPrefix) &&
         std::all_of(id.begin() + static_cast<std::ptrdiff_t>(kPrefix.size()), id.end(),
                     [](char c) { return c >= '0' && c <= '9'; });
}

int dismiss(const JobsArguments& arguments) {
  absl::StatusOr<Server> server = server_of_job(arguments);
  if (!server.ok()) return report(server.status());
  const auto job = query_job(server->client, arguments.id);
  const auto dismissed = server->client.execute("job-dismiss", {{"id", arguments.id}});
  if (!dismissed.ok()) return report(dismissed.status());
  const NodeView* const target = server->view.find_node(arguments.id + "-target");
  if (!is_backup(arguments.id) || target == nullptr) return kDone;
  const auto closed = server->client.execute("blockdev-del", {{"node-name", target->name}});
  const bool is_whole =
      job.ok() && *job && (*job)->error.empty() && (*job)->current == (*job)->total;
  if (!is_whole) {
    print_error("'" + printable_text(target->file) +
                "' is not the whole disk, as the backup did not end: remove it");
  }
  return report(closed.status());
}

}  // namespace

void add_jobs_command(CLI::App& program, int& exit_status) {
  const auto arguments = std::make_shared<JobsArguments>();
  CLI::App& command = *program.add_subcommand("jobs", "List, pause, cancel long work of servers");
  command.footer(kFooter);
  command.require_subcommand(0, 1);
  arguments->target.add_server_to(command);
  arguments->output.add_to(command);
  command.callback([&command, arguments, &exit_status] {
    if (command.get_subcommands().empty()) exit_status = list(*arguments);
  });

  CLI::App& listing = *command.add_subcommand("ls", "List the jobs");
  arguments->target.add_server_to(listing);
  arguments->output.add_to(listing);
  listing.callback([arguments, &exit_status] { exit_status = list(*arguments); });

  struct Verb {
    const char* word;
    const char* command;
    const char* help;
  };
  static constexpr Verb kVerbs[] = {
      {"cancel", "job-cancel", "End a job early"},
      {"pause", "job-pause", "Let a job wait"},
      {"resume", "job-resume", "Let a paused job go on"},
  };
  for (const Verb& verb : kVerbs) {
    CLI::App& changing = *command.add_subcommand(verb.word, verb.help);
    changing.add_option("JOB", arguments->id, "The job's name")->required();
    arguments->target.add_server_to(changing);
    changing.callback(
        [arguments, &exit_status, &verb] { exit_status = change(*arguments, verb.command); });
  }
  CLI::App& dismissing = *command.add_subcommand("dismiss", "Take a concluded job off the list");
  dismissing.add_option("JOB", arguments->id, "The job's name")->required();
  arguments->target.add_server_to(dismissing);
  dismissing.callback([arguments, &exit_status] { exit_status = dismiss(*arguments); });
}

}  // namespace penstock
