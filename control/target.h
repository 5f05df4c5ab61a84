// SPDX-License-Identifier: Apache-2.0
// From the word that a person says to the server, the export and the node that it means.
//
// A word is looked for as a mount point or a file in one, then as an image, as an export's id, and
// as a node's name; the first of these that finds something decides. Of several users' servers,
// which only root may ask, the own ones come first; a mount belongs to whoever mounted it.
//
// Ownership: a Server owns its connection.
// Threads: any that may block.
// Errors: ENOENT if there is no such thing or no server, EINVAL if the word means several, with a
//   list of them; those of the servers.
// Invariants: a server that does not answer holds nobody up for longer than QmpClient::connect().
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/thread_roles.h"
#include "control/qmp/qmp_client.h"
#include "control/server_view.h"

namespace penstock {

struct TargetWords {
  std::string target;  // empty: the only one there is
  std::string socket;  // empty: any server of this user
};

struct Server {
  QmpClient client;
  ServerView view;
};

// One thing that a word may mean. A node may be without an export.
struct Place {
  const Server* server = nullptr;
  std::string export_id;
  std::string node;  // the export's, unless the word named another
};

// What commands work on.
struct Target {
  Server server;
  std::string export_id;  // may be empty
  std::string node;
  std::string name;  // for messages: "'/home/me/mnt'"

  // REQUIRES: export_id is not empty.
  const ExportView& shown() const { return *server.view.find_export(export_id); }
};

// All servers that can be asked; those that cannot are told in `failures`. With a socket only that.
std::vector<Server> connect_servers(const TargetWords& words,
                                    std::vector<absl::Status>* failures) BLOCKING_CODE;

// Every disk that a word means among these servers: several if it is empty.
absl::StatusOr<std::vector<Place>> find_places(const std::vector<Server>& servers,
                                               const std::string& target) BLOCKING_CODE;

absl::StatusOr<Target> find_target(const TargetWords& words) BLOCKING_CODE;
// As find_target(), for commands that need a mounted disk: ENOENT if the target is a node only.
absl::StatusOr<Target> find_export_target(const TargetWords& words) BLOCKING_CODE;
// The server alone; it may serve no disk, or several.
absl::StatusOr<Server> find_server(const TargetWords& words) BLOCKING_CODE;

// "'e' at '/mnt/a' (PID 4711)", for lists of candidates and headings.
std::string place_name(const Place& place);

}  // namespace penstock
