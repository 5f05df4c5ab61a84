// SPDX-License-Identifier: Apache-2.0
// Starts threads that leave the process's signals to the main thread.
//
// Ownership: the caller joins or detaches.
// Threads: any.
// Errors: the errno of thread creation.
// Invariants: signals that tell of a fault in the thread itself stay open.
#pragma once

#include <functional>
#include <string>
#include <thread>

#include "absl/status/statusor.h"

namespace penstock {

// `name` is cut to what the kernel keeps (15 bytes).
absl::StatusOr<std::thread> start_thread(const std::string& name, std::function<void()> body);

}  // namespace penstock
