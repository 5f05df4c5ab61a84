// SPDX-License-Identifier: Apache-2.0
// The client's side of the control socket, for the program's own commands.
//
// Ownership: owns the connection; move only.
// Threads: one at a time; every function may block.
// Errors: ENOENT or ECONNREFUSED where no server listens, EPROTO for an answer that is no QMP,
//   ESHUTDOWN if the server goes, ETIMEDOUT if it answers nothing when it is connected to, EILSEQ
//   for a command with text that is not UTF-8, which is not sent; else the server's error, with its
//   class (qmp_error_class()) and text.
// Invariants: connected means negotiated. Events that come while a reply is awaited are kept.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <deque>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "base/thread_roles.h"
#include "base/unique_fd.h"
#include "control/qmp/json_stream.h"
#include "nlohmann/json.hpp"

namespace penstock {

class QmpClient {
 public:
  // With an owner: EACCES if the server runs as somebody else.
  static absl::StatusOr<QmpClient> connect(const std::string& path,
                                           std::optional<uid_t> owner = {}) BLOCKING_CODE;

  // Runs one command and waits for its end, without limit.
  absl::StatusOr<nlohmann::json> execute(const std::string& command,
                                         const nlohmann::json& arguments) BLOCKING_CODE;
  // The next event; waits for it without limit.
  absl::StatusOr<nlohmann::json> next_event() BLOCKING_CODE;
  // The same, but nothing if `limit` ends first or `other_fd` becomes readable.
  absl::StatusOr<std::optional<nlohmann::json>> next_event_within(std::chrono::milliseconds limit,
                                                                  int other_fd = -1) BLOCKING_CODE;
  const std::string& path() const { return path_; }
  // The user that the server runs as, by the kernel's word.
  uid_t user() const { return user_; }

 private:
  QmpClient(UniqueFd socket, std::string path);
  absl::Status identify(std::optional<uid_t> owner);
  absl::Status negotiate() BLOCKING_CODE;
  absl::Status limit_waits(std::chrono::seconds limit);  // 0: no limit
  absl::Status send(const nlohmann::json& message) BLOCKING_CODE;
  absl::StatusOr<nlohmann::json> receive() BLOCKING_CODE;
  absl::Status receive_some() BLOCKING_CODE;

  UniqueFd socket_;
  std::string path_;
  uid_t user_ = 0;
  JsonStream input_;
  std::deque<nlohmann::json> events_;
};

}  // namespace penstock
