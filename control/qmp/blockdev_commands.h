// SPDX-License-Identifier: Apache-2.0
// Commands that make, remove, resize and list nodes: blockdev-add, blockdev-del, block_resize,
// query-named-block-nodes.
//
// Ownership: constants.
// Threads: as QmpCommand.
// Errors: as QmpCommand; a failed command leaves the graph as it was, but for a blockdev-del whose
//   last writing back failed: its text says so.
// Invariants: names and meaning are QEMU's.
#pragma once

#include <span>

#include "control/qmp/qmp_command.h"

namespace penstock {

std::span<const QmpCommand> blockdev_commands();

}  // namespace penstock
