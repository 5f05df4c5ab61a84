// SPDX-License-Identifier: Apache-2.0
#include <cerrno>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "base/status.h"
#include "cli/commands.h"
#include "cli/exit_status.h"
#include "control/qmp/qmp_client.h"
#include "control/qmp/qmp_socket_path.h"
#include "control/target.h"
#include "nlohmann/json.hpp"

namespace penstock {
namespace {

constexpr char kFooter[] = R"(
TARGET is a server's PID or socket, or what other commands find it by: a mount point, an image, the
id of an export or the name of a node. It can be left out while only one server runs. ARGUMENTS is
a JSON object; single quotes will do, too. What the command returns is printed as JSON.
penstock-qmp(7) describes the commands; 'query-commands' lists them.

Examples:
  penstock qmp query-version
  penstock qmp 4711 object-add '{"qom-type": "iothread", "id": "t0"}'
  penstock qmp --socket /tmp/p.sock quit

Exit status: 0 done, 1 no server, or the command failed, 2 wrong usage.)";

struct QmpArguments {
  std::string socket;
  std::vector<std::string> words;
};

struct Request {
  std::string target;
  std::string command;
  nlohmann::json arguments = nlohmann::json::object();
};

absl::StatusOr<nlohmann::json> parse_arguments(const std::string& text) {
  JsonStream stream;
  stream.feed(text);
  const auto parsed = stream.next();
  if (parsed && !parsed->ok()) return annotate(parsed->status(), "ARGUMENTS");
  if (!parsed || !(*parsed)->is_object()) {
    return errno_message(EINVAL,
                         "ARGUMENTS must be a whole JSON object, such as '{\"id\": \"x\"}'");
  }
  stream.feed("\n");
  if (stream.next()) return errno_message(EINVAL, "ARGUMENTS must be one JSON object");
  return **parsed;
}

bool is_json(const std::string& word) { return !word.empty() && word.front() == '{'; }

absl::StatusOr<Request> read_request(QmpArguments given) {
  Request request;
  std::vector<std::string>& words = given.words;
  if (words.size() > 1 && is_json(words.back())) {
    absl::StatusOr<nlohmann::json> arguments = parse_arguments(words.back());
    if (!arguments.ok()) return arguments.status();
    request.arguments = *std::move(arguments);
    words.pop_back();
  }
  if (words.size() > 2 || (words.size() == 2 && !given.socket.empty())) {
    return errno_message(EINVAL, "'" + words.back() +
                                     "' is one word too many: ARGUMENTS are a JSON object, such as "
                                     "'{\"id\": \"x\"}'");
  }
  request.command = words.back();
  request.target = words.size() == 2 ? words.front() : "";
  return request;
}

absl::StatusOr<QmpClient> connect(const std::string& socket, const std::string& target) {
  if (!socket.empty()) return QmpClient::connect(socket);
  if (!names_server(target)) {
    absl::StatusOr<Server> server = find_server({.target = target, .socket = ""});
    if (!server.ok()) return server.status();
    return std::move(server->client);
  }
  const absl::StatusOr<QmpSocket> found = find_qmp_socket(target);
  return found.ok() ? QmpClient::connect(found->path, found->owner) : found.status();
}

int run(const QmpArguments& given) {
  const absl::StatusOr<Request> request = read_request(given);
  if (!request.ok()) {
    print_error(status_text(request.status()) + "; see 'penstock qmp --help'");
    return kUsage;
  }
  absl::StatusOr<QmpClient> client = connect(given.socket, request->target);
  if (!client.ok()) return report(client.status());
  const absl::StatusOr<nlohmann::json> result =
      client->execute(request->command, request->arguments);
  if (!result.ok()) return report(result.status());
  std::puts(result->dump(4, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
  return kDone;
}

}  // namespace

void add_qmp_command(CLI::App& program, int& exit_status) {
  const auto arguments = std::make_shared<QmpArguments>();
  CLI::App& command = *program.add_subcommand("qmp", "Send one command to a server's socket");
  command.footer(kFooter);
  command.add_option("--socket", arguments->socket, "The server's control socket")
      ->type_name("PATH");
  command.add_option("COMMAND", arguments->words, "[TARGET] COMMAND [ARGUMENTS]")
      ->required()
      ->expected(1, 3);
  command.callback([arguments, &exit_status] { exit_status = run(*arguments); });
}

}  // namespace penstock
