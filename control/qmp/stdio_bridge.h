// SPDX-License-Identifier: Apache-2.0
// Makes standard input and output one end of a socket, so that a session serves them as any client.
//
// They may be pipes, files or terminals that others use too, so they stay in blocking mode, and a
// thread of their own waits for them.
//
// Ownership: owns the thread and its end of the socket; the other end is the caller's. The standard
//   streams are used, not owned.
// Threads: start() and the destructor where blocking is allowed.
// Errors: the system's for the socket. A stream that fails ends the connection.
// Invariants: the end of the input is the end of what the caller's end receives. At the end what
//   was sent is written, for at most a second: the thread of an output that takes nothing is left
//   to the end of the process.
#pragma once

#include <future>
#include <memory>

#include "absl/status/statusor.h"
#include "base/thread_roles.h"
#include "base/unique_fd.h"

namespace penstock {

class StdioBridge {
 public:
  // `session`: the caller's end.
  static absl::StatusOr<std::unique_ptr<StdioBridge>> start(UniqueFd& session) BLOCKING_CODE;
  StdioBridge(const StdioBridge&) = delete;
  StdioBridge& operator=(const StdioBridge&) = delete;
  // The caller has closed its end.
  ~StdioBridge();

 private:
  explicit StdioBridge(UniqueFd bridge);

  std::future<void> ended_;
};

}  // namespace penstock
