// SPDX-License-Identifier: Apache-2.0
#include "control/target.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <map>
#include <optional>
#include <system_error>
#include <utility>

#include "base/printable_text.h"
#include "base/status.h"
#include "control/mount_point.h"
#include "control/mount_registry.h"
#include "control/mount_table.h"
#include "control/qmp/qmp_socket_path.h"

namespace penstock {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMostNamed = 8;  // candidates in an error

std::string in_quotes(const std::string& text) {
  return "'" + printable_text(text, 4 * kLongestQuote) + "'";
}

// `told` is what a server said: a relative path would be one of its own directory.
bool is_same_file(const std::string& word, const std::string& told) BLOCKING_CODE;
bool is_same_file(const std::string& word, const std::string& told) {
  if (word.empty() || !told.starts_with('/')) return false;
  std::error_code error;
  return word == told || fs::equivalent(word, told, error);
}

// The mount that the word means, as the mount table says.
std::optional<MountEntry> mount_of(const std::string& target) BLOCKING_CODE;
std::optional<MountEntry> mount_of(const std::string& target) {
  if (target.empty()) return std::nullopt;
  const absl::StatusOr<std::string> mount_point = find_mount_of(target);
  return mount_point.ok() ? mount_at(*mount_point) : std::nullopt;
}

uid_t owner_of(const MountEntry& mount) { return mount.user.value_or(::geteuid()); }

// Anybody can write a record that names somebody else's mount.
bool is_of(const MountState& record, const MountEntry& mount) {
  return record.mount_point == mount.mount_point && record.owner == owner_of(mount);
}

absl::Status takes_no_commands(const std::string& target, const MountState& record) {
  return errno_message(ENOENT, in_quotes(target) + " is mounted by PID " +
                                   std::to_string(record.pid) +
                                   ", whose server takes no commands, or only at a socket that is "
                                   "to be named with --socket");
}

// Why there is no server for a mount that is there.
absl::Status has_no_server(const std::string& target, const MountEntry& mount) BLOCKING_CODE;
absl::Status has_no_server(const std::string& target, const MountEntry& mount) {
  const std::optional<MountWatch> record = MountWatch::find(mount.mount_point, owner_of(mount));
  if (record && !record->server_is_alive()) {
    return errno_message(ENOTCONN, "the server of " + in_quotes(target) + " (PID " +
                                       std::to_string(record->state().pid) +
                                       ") was killed: 'penstock umount' clears its mount");
  }
  if (record) return takes_no_commands(target, record->state());
  return errno_message(ENOENT, in_quotes(target) +
                                   " is mounted, but nothing is known of its "
                                   "server: it was killed, or this user may not "
                                   "ask it");
}

// The servers to ask: if a record says which one has the target, only that.
absl::StatusOr<std::vector<QmpSocket>> sockets_for(const std::string& target) BLOCKING_CODE;
absl::StatusOr<std::vector<QmpSocket>> sockets_for(const std::string& target) {
  std::map<std::string, QmpSocket> all;
  for (const QmpSocket& socket : list_qmp_sockets()) all.emplace(socket.path, socket);
  const std::optional<MountEntry> mount = mount_of(target);
  for (const MountState& record : read_mount_registry()) {
    const QmpSocket socket = {record.socket, record.owner};
    const bool is_the_one = mount && is_of(record, *mount);
    if (is_the_one && socket.path.empty()) return takes_no_commands(target, record);
    if (is_the_one) return std::vector{socket};
    if (!socket.path.empty()) all.emplace(socket.path, socket);
  }
  std::vector<QmpSocket> sockets;
  for (const auto& [path, socket] : all) sockets.push_back(socket);
  return sockets;
}

// Of a word that no server calls something its own, but that is a mount or its image; else OK.
absl::Status why_unreachable(const std::string& target) BLOCKING_CODE;
absl::Status why_unreachable(const std::string& target) {
  if (const std::optional<MountEntry> mount = mount_of(target)) {
    return has_no_server(target, *mount);
  }
  for (const MountState& record : read_mount_registry()) {
    if (record.socket.empty() && is_same_file(target, record.image)) {
      return takes_no_commands(target, record);
    }
  }
  return absl::OkStatus();
}

absl::Status not_found(const std::string& target) BLOCKING_CODE;
absl::Status not_found(const std::string& target) {
  if (absl::Status reason = why_unreachable(target); !reason.ok()) return reason;
  return errno_message(ENOENT, in_quotes(target) +
                                   " is no mount point, image, export or node of a server: "
                                   "'penstock status' lists the disks, 'penstock graph' the nodes");
}

// The exports in whose tree the node is.
std::vector<Place> places_of_node(const Server& server, const std::string& node) {
  std::vector<Place> places;
  for (const ExportView& each : server.view.exports) {
    const std::vector<std::string> below = server.view.subtree(each.node);
    if (std::find(below.begin(), below.end(), node) == below.end()) continue;
    places.push_back({.server = &server, .export_id = each.id, .node = node});
  }
  // A node of several disks, or of none, is just a node.
  if (places.size() != 1) places = {{.server = &server, .export_id = "", .node = node}};
  return places;
}

template <typename Matches>
std::vector<Place> exports_where(const std::vector<const Server*>& servers, Matches matches) {
  std::vector<Place> places;
  for (const Server* const server : servers) {
    for (const ExportView& each : server->view.exports) {
      if (!matches(*server, each)) continue;
      places.push_back({.server = server, .export_id = each.id, .node = each.node});
    }
  }
  return places;
}

std::vector<Place> nodes_named(const std::vector<const Server*>& servers, const std::string& name) {
  std::vector<Place> places;
  for (const Server* const server : servers) {
    if (server->view.find_node(name) == nullptr) continue;
    for (Place& place : places_of_node(*server, name)) places.push_back(std::move(place));
  }
  return places;
}

// What the word means as an image, an export or a node.
std::vector<Place> places_called(const std::vector<const Server*>& servers,
                                 const std::string& word) BLOCKING_CODE;
std::vector<Place> places_called(const std::vector<const Server*>& servers,
                                 const std::string& word) {
  std::vector<Place> places =
      exports_where(servers, [&](const Server& server, const ExportView& each) {
        return is_same_file(word, image_path_of(server.view, each.node));
      });
  if (places.empty()) {
    places = exports_where(servers,
                           [&](const Server&, const ExportView& each) { return each.id == word; });
  }
  return places.empty() ? nodes_named(servers, word) : places;
}

std::string names_of(const std::vector<Place>& places) {
  std::string list;
  for (size_t i = 0; i < places.size() && i < kMostNamed; ++i) {
    list += (list.empty() ? "" : ", ") + place_name(places[i]);
  }
  if (places.size() > kMostNamed) {
    list += " and " + std::to_string(places.size() - kMostNamed) + " more";
  }
  return list;
}

// The failure to tell where there is no server to ask.
absl::Status no_server(const TargetWords& words,
                       const std::vector<absl::Status>& failures) BLOCKING_CODE;
absl::Status no_server(const TargetWords& words, const std::vector<absl::Status>& failures) {
  if (!failures.empty()) return failures.front();
  if (absl::Status reason = why_unreachable(words.target); !reason.ok()) return reason;
  return errno_message(
      ENOENT, (words.target.empty() ? "no server runs"
                                    : in_quotes(words.target) + " is nothing that is served: no "
                                                                "server runs") +
                  std::string(": 'penstock mount' and 'penstock daemon' start one"));
}

absl::StatusOr<Server> connect_server(const QmpSocket& socket) BLOCKING_CODE;
absl::StatusOr<Server> connect_server(const QmpSocket& socket) {
  absl::StatusOr<QmpClient> client = QmpClient::connect(socket.path, socket.owner);
  if (!client.ok()) return client.status();
  absl::StatusOr<ServerView> view = read_server_view(*client);
  if (!view.ok()) return view.status();
  return Server{.client = *std::move(client), .view = *std::move(view)};
}

absl::StatusOr<Place> only_place(const std::vector<Server>& servers,
                                 const TargetWords& words) BLOCKING_CODE;
absl::StatusOr<Place> only_place(const std::vector<Server>& servers, const TargetWords& words) {
  absl::StatusOr<std::vector<Place>> places = find_places(servers, words.target);
  if (!places.ok()) return places.status();
  if (places->size() == 1) return places->front();
  if (places->empty()) {
    return errno_message(ENOENT,
                         "no disk is mounted by the servers that run: name a node as the target "
                         "('penstock graph' shows them), or mount one");
  }
  const std::string what = words.target.empty() ? "several disks are served"
                                                : in_quotes(words.target) + " is several disks";
  return errno_message(EINVAL, what + ": " + names_of(*places) +
                                   "; name one by its mount point, or its server with --socket");
}

}  // namespace

std::vector<Server> connect_servers(const TargetWords& words, std::vector<absl::Status>* failures) {
  absl::StatusOr<std::vector<QmpSocket>> sockets =
      words.socket.empty() ? sockets_for(words.target)
                           : std::vector{QmpSocket{.path = words.socket, .owner = {}}};
  if (!sockets.ok()) {
    failures->push_back(sockets.status());
    return {};
  }
  std::vector<Server> servers;
  for (const QmpSocket& socket : *sockets) {
    absl::StatusOr<Server> server = connect_server(socket);
    if (server.ok()) {
      servers.push_back(*std::move(server));
      continue;
    }
    const int error = status_errno(server.status());
    const bool has_gone = error == ENOENT || error == ECONNREFUSED || error == ESHUTDOWN;
    // Of those found by themselves, a server that has gone is no news.
    if (!has_gone || !words.socket.empty()) failures->push_back(server.status());
  }
  return servers;
}

absl::StatusOr<std::vector<Place>> find_places(const std::vector<Server>& servers,
                                               const std::string& target) {
  std::vector<const Server*> all;
  std::vector<const Server*> own;
  for (const Server& server : servers) {
    all.push_back(&server);
    if (server.client.user() == ::geteuid()) own.push_back(&server);
  }
  if (target.empty()) {
    return exports_where(all, [](const Server&, const ExportView&) { return true; });
  }
  if (const std::optional<MountEntry> mount = mount_of(target)) {
    std::vector<Place> places =
        exports_where(all, [&](const Server& server, const ExportView& each) {
          return each.mount_point == mount->mount_point && server.client.user() == owner_of(*mount);
        });
    if (!places.empty()) return places;
  }
  // What other users' servers call theirs cannot hide root's own, or make it unclear.
  std::vector<Place> places = places_called(own, target);
  if (places.empty()) places = places_called(all, target);
  if (places.empty()) return not_found(target);
  return places;
}

absl::StatusOr<Target> find_target(const TargetWords& words) {
  std::vector<absl::Status> failures;
  std::vector<Server> servers = connect_servers(words, &failures);
  if (servers.empty()) return no_server(words, failures);
  const absl::StatusOr<Place> place = only_place(servers, words);
  if (!place.ok()) return place.status();
  const auto index = static_cast<size_t>(place->server - servers.data());
  std::string name = words.target;
  if (name.empty()) {
    const ExportView* const shown = place->server->view.find_export(place->export_id);
    name = shown == nullptr ? place->node : shown->mount_point;
  }
  return Target{.server = std::move(servers[index]),
                .export_id = place->export_id,
                .node = place->node,
                .name = in_quotes(name)};
}

absl::StatusOr<Target> find_export_target(const TargetWords& words) {
  absl::StatusOr<Target> target = find_target(words);
  if (!target.ok() || !target->export_id.empty()) return target;
  return errno_message(ENOENT, target->name +
                                   " is a node and no mounted disk: name the mount point "
                                   "or the export ('penstock status' lists them)");
}

absl::StatusOr<Server> find_server(const TargetWords& words) {
  if (!words.target.empty()) {
    absl::StatusOr<Target> target = find_target(words);
    if (!target.ok()) return target.status();
    return std::move(target->server);
  }
  std::vector<absl::Status> failures;
  std::vector<Server> servers = connect_servers(words, &failures);
  if (servers.empty()) return no_server(words, failures);
  if (servers.size() == 1) return std::move(servers.front());
  std::string list;
  for (size_t i = 0; i < servers.size() && i < kMostNamed; ++i) {
    list += (list.empty() ? "" : ", ") + in_quotes(servers[i].client.path());
  }
  return errno_message(EINVAL, "several servers run: " + list +
                                   (servers.size() > kMostNamed ? ", ..." : "") +
                                   "; name one with --socket, or a disk of it with --on");
}

std::string place_name(const Place& place) {
  const ServerView& view = place.server->view;
  const std::string server = " (PID " + std::to_string(view.pid) + ")";
  const ExportView* const shown = view.find_export(place.export_id);
  if (shown == nullptr) return "node " + in_quotes(place.node) + server;
  return in_quotes(shown->id) + " at " + in_quotes(shown->mount_point) + server;
}

}  // namespace penstock
