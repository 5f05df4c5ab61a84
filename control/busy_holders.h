// SPDX-License-Identifier: Apache-2.0
// Who keeps a mount busy.
//
// Ownership: values.
// Threads: any that may block on /proc; it never touches the mounted files.
// Errors: processes of other users are invisible to an ordinary user and left out.
// Invariants: none; the answer may be old by the time it is read.
#pragma once

#include <string>
#include <vector>

#include "base/thread_roles.h"

namespace penstock {

// "PID 123 (bash)", "/dev/loop0": processes with an open file, a working or root directory, a
// program or a memory mapping there, and loop devices on top of it.
std::vector<std::string> find_busy_holders(const std::string& mount_point) BLOCKING_CODE;

}  // namespace penstock
