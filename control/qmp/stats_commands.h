// SPDX-License-Identifier: Apache-2.0
// The commands of the control socket that tell what requests did: query-blockstats and
// block-latency-histogram-set, as QEMU has them.
//
// Ownership: constants.
// Threads: the control thread.
// Errors: DeviceNotFound for a name that nobody has; GenericError for boundaries that do not rise.
// Invariants: no request waits for them.
#pragma once

#include <span>

#include "control/qmp/qmp_command.h"

namespace penstock {

std::span<const QmpCommand> stats_commands();

}  // namespace penstock
