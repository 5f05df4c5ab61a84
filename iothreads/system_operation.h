// SPDX-License-Identifier: Apache-2.0
// An IoOperation done by the plain, blocking system call.
//
// Ownership: none.
// Threads: any that may block.
// Errors: a negative errno, as in IoOperation::result.
// Invariants: kPoll is not among them: a poller waits for it by its own means.
#pragma once

#include <cstdint>

#include "iothreads/io_operation.h"

namespace penstock {

int32_t perform_system_operation(const IoOperation& operation);

}  // namespace penstock
