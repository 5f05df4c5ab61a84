// SPDX-License-Identifier: Apache-2.0
// Finds out who holds an OFD lock, which the kernel itself does not tell (it says pid -1).
//
// Ownership: none.
// Threads: a thread that may block: it reads /proc of every process.
// Errors: none: what may not be read is passed over, and the answer is then empty.
// Invariants: names only processes that had the very byte locked when it looked.
#pragma once

#include <string>
#include <vector>

#include "base/thread_roles.h"

namespace penstock {

// "pid 4711 (qemu-system-x86)" for each process with a lock on the byte `position` of the file that
// `fd` has open; locks of `fd` itself do not count.
std::vector<std::string> find_lock_holders(int fd, int position) BLOCKING_CODE;

}  // namespace penstock
