// SPDX-License-Identifier: Apache-2.0
// What --chardev asks for: where the clients of a monitor come from.
//
// Ownership: values.
// Threads: pure.
// Errors: EINVAL; ENOTSUP for what QEMU has and this program has not, saying what there is instead.
// Invariants: an id is there. A path is absolute: the server leaves its working directory.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace penstock {

struct ChardevOptions {
  enum class Kind : uint8_t {
    kListen,   // clients connect to us
    kConnect,  // we connect to the one client
    kStdio,
  };

  std::string id;
  Kind kind = Kind::kStdio;
  std::string path;  // empty: `fd` instead
  int fd = -1;       // a socket that was passed to this process
  bool wait = true;  // listening: nothing goes on before a client is there
  // Connecting: again after the connection has ended; 0: never.
  std::chrono::milliseconds reconnect{0};
};

absl::StatusOr<ChardevOptions> parse_chardev(std::string_view text);

}  // namespace penstock
