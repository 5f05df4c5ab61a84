// SPDX-License-Identifier: Apache-2.0
// qom-get and qom-set: properties of the objects that object-add made.
//
// Ownership: constants.
// Threads: the control thread.
// Errors: class DeviceNotFound for a path where nothing is; GenericError for a property that the
//   object does not have, and for values that do not fit: nothing is changed then.
// Invariants: an object's path is its id, or "/objects/" and its id. The only property is "limits"
//   of a throttle-group.
#pragma once

#include <span>

#include "control/qmp/qmp_command.h"

namespace penstock {

std::span<const QmpCommand> qom_commands();

}  // namespace penstock
