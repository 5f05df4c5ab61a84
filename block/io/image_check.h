// SPDX-License-Identifier: Apache-2.0
// A check of an image's metadata, through an edge to its node or to filters above it.
//
// Ownership: none.
// Threads: a coroutine on any context, in flight in the edge's parent.
// Errors: ENOTSUP if the format has no check; the check's own.
// Invariants: the image is not changed.
#pragma once

#include "absl/status/statusor.h"
#include "base/thread_roles.h"
#include "block/node/child.h"
#include "block/node/image_check.h"

namespace penstock {

absl::StatusOr<ImageCheck> co_check(const Child& child) IO_CODE;

}  // namespace penstock
