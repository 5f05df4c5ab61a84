// SPDX-License-Identifier: Apache-2.0
// Commands about the server itself: qmp_capabilities, query-commands, query-version, quit.
//
// Ownership: constants.
// Threads: see qmp_command.h.
// Errors: see qmp_command.h.
// Invariants: qmp_capabilities comes here only while the session negotiates.
#pragma once

#include <span>

#include "control/qmp/qmp_command.h"

namespace penstock {

std::span<const QmpCommand> server_commands();

}  // namespace penstock
