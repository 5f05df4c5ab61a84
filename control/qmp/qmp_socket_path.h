// SPDX-License-Identifier: Apache-2.0
// Where servers have their control sockets, and how people find them.
//
// Ownership: values.
// Threads: any that may block.
// Errors: ENOENT if there is no such server, EINVAL if the choice is not clear; the texts list what
//   there is.
// Invariants: a server's default socket is named PID.qmp in its user's runtime directory.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/thread_roles.h"

namespace penstock {

// Of this process. Removes what dead servers left there.
absl::StatusOr<std::string> default_qmp_socket_path() BLOCKING_CODE;

struct QmpSocket {
  std::string path;
  // Who must serve it: whose record or directory named it. Nothing if the caller did.
  std::optional<uid_t> owner;
};

// True for words that name a server itself: nothing, a socket, a PID.
bool names_server(const std::string& word) BLOCKING_CODE;
// Of such a word; empty for the only server that runs.
absl::StatusOr<QmpSocket> find_qmp_socket(const std::string& word) BLOCKING_CODE;

// The default sockets of all servers that this user may ask, living or dead, in order.
std::vector<QmpSocket> list_qmp_sockets() BLOCKING_CODE;

}  // namespace penstock
