// SPDX-License-Identifier: Apache-2.0
// Throttle groups as objects of object-add, and the commands that change and list them.
//
// Ownership: constants; the groups belong to the daemon's throttle driver.
// Threads: the control thread.
// Errors: see object_kind.h and QmpCommand.
// Invariants: properties are QEMU's: "limits", or its members one by one with "x-" before them.
#pragma once

#include <span>

#include "control/qmp/object_kind.h"
#include "control/qmp/qmp_command.h"

namespace penstock {

const ObjectKind& throttle_group_kind();
std::span<const QmpCommand> throttle_commands();

}  // namespace penstock
