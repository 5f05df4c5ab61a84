// SPDX-License-Identifier: Apache-2.0
// Commands that move work between IoThreads: x-penstock-export-set-iothreads and
// x-penstock-iothread-del.
//
// Ownership: constants.
// Threads: the control thread.
// Errors: see export_registry.h and iothread_removal.h.
// Invariants: a command that fails leaves each user on the threads that it had.
#pragma once

#include <span>

#include "control/qmp/qmp_command.h"

namespace penstock {

std::span<const QmpCommand> iothread_commands();

}  // namespace penstock
