// SPDX-License-Identifier: Apache-2.0
// Where a user's servers leave what other commands must know about them.
//
// Ownership: the directories stay; they are small and lie in memory on most systems.
// Threads: any that may block.
// Errors: EACCES for a directory that somebody else could have made or could change.
// Invariants: a directory that is used belongs to the user who writes in it, mode 0700, no link.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/thread_roles.h"

namespace penstock {

// The directory of this user's servers, made if need be: /run/penstock for root, else
// $XDG_RUNTIME_DIR/penstock, else /tmp/penstock-UID.
absl::StatusOr<std::string> make_runtime_directory() BLOCKING_CODE;

struct RuntimeDirectory {
  std::string path;
  uid_t owner = 0;
};

// Every directory where this user may look: the own ones; for root those of all users.
std::vector<RuntimeDirectory> list_runtime_directories() BLOCKING_CODE;

}  // namespace penstock
