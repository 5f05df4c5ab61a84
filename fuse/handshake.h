// SPDX-License-Identifier: Apache-2.0
// FUSE_INIT: what we ask of the kernel, given what it offers.
//
// Ownership: values.
// Threads: negotiate() is pure; co_shake_hands() runs in a coroutine of any context.
// Errors: EPROTO for a kernel too old or bytes that are no FUSE_INIT; else those of the descriptor.
// Invariants: a feature is asked for only if the kernel offers it.
#pragma once

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/thread_roles.h"
#include "fuse/protocol.h"

namespace penstock {

// `cached`: the kernel keeps pages of the file.
absl::StatusOr<fuse_init_out> negotiate(const fuse_init_in& offer, bool cached);

// Waits for the kernel's FUSE_INIT on `fd` (non-blocking) and answers it.
absl::Status co_shake_hands(int fd, bool cached) COROUTINE_CODE;

}  // namespace penstock
