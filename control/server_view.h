// SPDX-License-Identifier: Apache-2.0
// What a server is made of, as a client of its control socket sees it at one moment.
//
// Ownership: values. Names refer to other parts by text: what a server says is not trusted to hang
//   together.
// Threads: pure, but for read_server_view().
// Errors: those of the server.
// Invariants: walks end, whatever the edges are.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/thread_roles.h"
#include "control/qmp/qmp_client.h"
#include "nlohmann/json.hpp"

namespace penstock {

struct NodeView {
  std::string name;
  std::string driver;
  std::string file;   // as it was named when it was opened
  std::string path;   // of its own open file, from the root; empty if it has none
  uint64_t size = 0;  // bytes
  bool read_only = false;
  bool is_filter = false;
  std::string iothread;  // empty: none of its own
};

struct EdgeView {
  std::string parent;  // a node; empty if a user holds the edge
  std::string user;    // "export x", a job's id, ...
  std::string name;    // "file", "backing", "root"
  std::string child;   // a node
  std::string role;
  std::vector<std::string> taken;  // permissions by QEMU's words
  std::vector<std::string> shared;
};

struct ExportView {
  std::string id;
  std::string type;
  std::string node;  // that it shows
  std::string mount_point;
  std::vector<std::string> iothreads;
  bool ending = false;
};

struct IoThreadView {
  std::string id;
  uint64_t thread_id = 0;
  uint64_t poll_max = 0;  // nanoseconds
  std::string engine;
  std::vector<std::string> users;
};

struct ServerView {
  pid_t pid = 0;
  std::vector<NodeView> nodes;
  std::vector<EdgeView> edges;
  std::vector<ExportView> exports;
  std::vector<IoThreadView> iothreads;
  nlohmann::json as_told;  // the whole answer

  const NodeView* find_node(const std::string& name) const;
  const ExportView* find_export(const std::string& id) const;
  // The edge of the export's own backend; nullptr while it is ending.
  const EdgeView* edge_of(const ExportView& of) const;
  std::vector<const EdgeView*> edges_below(const std::string& node) const;
  // The filters from this node down to the first one that is none, top first.
  std::vector<const NodeView*> filters_at(const std::string& node) const;
  // The first node from this one down that is no filter; nullptr if there is none.
  const NodeView* format_below(const std::string& node) const;
  // This node and all below it, each once, parents first.
  std::vector<std::string> subtree(const std::string& node) const;
};

// The file name that people know the disk by: the format node's, or that of a node below it.
std::string image_of(const ServerView& server, const std::string& node);
// Where that image is, from the root; empty if it is no file.
std::string image_path_of(const ServerView& server, const std::string& node);
// The export's user may write.
bool is_writable(const ServerView& server, const ExportView& of);

ServerView parse_server_view(nlohmann::json answer);
absl::StatusOr<ServerView> read_server_view(QmpClient& client) BLOCKING_CODE;

}  // namespace penstock
