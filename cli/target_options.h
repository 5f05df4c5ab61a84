// SPDX-License-Identifier: Apache-2.0
// How commands are told which disk or server they work on.
//
// Ownership: a value; outlives the parse.
// Threads: pure.
// Errors: none.
// Invariants: the words are the same in all commands.
#pragma once

#include "CLI/CLI.hpp"
#include "control/target.h"

namespace penstock {

struct TargetOptions : TargetWords {
  enum class Presence : uint8_t { kOptional, kRequired };

  // "TARGET" and "--socket".
  void add_to(CLI::App& command, Presence presence = Presence::kOptional) {
    CLI::Option* const option = command.add_option(
        "TARGET", target, "A mount point, an image, an export's id or a node's name");
    if (presence == Presence::kRequired) option->required();
    add_socket_to(command);
  }
  // "--on" and "--socket", for commands about a server.
  void add_server_to(CLI::App& command) {
    command
        .add_option("--on", target,
                    "The server of this mount point, image, export or node (default: the only one)")
        ->type_name("TARGET");
    add_socket_to(command);
  }

 private:
  void add_socket_to(CLI::App& command) {
    command
        .add_option("--socket", socket, "The server's control socket (default: it is looked for)")
        ->type_name("PATH");
  }
};

}  // namespace penstock
