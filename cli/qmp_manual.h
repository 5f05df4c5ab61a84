// SPDX-License-Identifier: Apache-2.0
// The manual page of the control socket's commands, from the table that they are run by.
//
// Ownership: values.
// Threads: pure.
// Errors: none.
// Invariants: every command, argument and event is in it.
#pragma once

#include <string>

namespace penstock {

// penstock-qmp(7), for man.
std::string qmp_manual();

}  // namespace penstock
