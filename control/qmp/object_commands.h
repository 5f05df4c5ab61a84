// SPDX-License-Identifier: Apache-2.0
// object-add, object-del, query-iothreads.
//
// Ownership: constants.
// Threads: the control thread.
// Errors: GenericError; DeviceNotFound is not used, as QEMU does not for objects.
// Invariants: an id names one object of all kinds.
#pragma once

#include <span>
#include <string>

#include "absl/status/status.h"
#include "control/qmp/qmp_command.h"

namespace penstock {

std::span<const QmpCommand> object_commands();

// EINVAL unless `id` is one that QEMU takes: letters, digits, '-', '.', '_'; a letter first.
// `parameter` is the argument's name, for the message.
absl::Status check_object_id(const std::string& id, const std::string& parameter);

}  // namespace penstock
