// SPDX-License-Identifier: Apache-2.0
// An image opened read-only for one look at it: what "info", "map" and "check" stand on.
//
// Ownership: the image is closed again before use_image returns.
// Threads: a thread without a loop; it becomes the control thread meanwhile.
// Errors: those of opening the image, then the user's, then those of closing.
// Invariants: the image is not changed.
#pragma once

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "base/thread_roles.h"
#include "block/backend/backend.h"
#include "block/graph/graph.h"
#include "block/node/node.h"
#include "control/mount_plan.h"

namespace penstock {

struct OpenedImage {
  Graph& graph;
  Node& node;
  Backend& backend;           // its requests: BackendRequest
  const std::string& format;  // the driver's name
};

// Opens `plan.image` with all the files it names and calls `use` on the control thread, in a
// coroutine. A lambda starts with assert_in_coroutine() and assert_control_thread().
absl::Status use_image(const MountPlan& plan,
                       const std::function<absl::Status(const OpenedImage&)>& use) BLOCKING_CODE;

}  // namespace penstock
