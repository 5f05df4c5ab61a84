// SPDX-License-Identifier: Apache-2.0
// Commands that change the graph under running I/O: home contexts, filters, children.
//
// QEMU's x-blockdev-change adds and removes children of quorum nodes. That is something else than
// to replace a child, hence the own name.
//
// Ownership: constants.
// Threads: as QmpCommand.
// Errors: as QmpCommand; a failed command leaves the graph as it was.
// Invariants: no request fails by them; those on the changed nodes wait for the change.
#pragma once

#include <span>

#include "control/qmp/qmp_command.h"

namespace penstock {

std::span<const QmpCommand> graph_commands();

}  // namespace penstock
