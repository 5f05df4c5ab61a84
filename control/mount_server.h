// SPDX-License-Identifier: Apache-2.0
// The composition root of one mount: a daemon with the image as its first export. It makes the
// threads, opens the image, starts the export, takes commands at its socket, waits for the end, and
// takes everything down again in the reverse order.
//
// Ownership: everything that it makes is gone when serve_mount returns.
// Threads: the main thread, while it is the only one; it becomes the control thread.
// Errors: of starting, with everything taken back; of the end, such as a failed flush.
// Invariants: the end is bounded in time. If requests are in flight after the limit, the mount is
//   detached, the failure is logged and recorded, and the process ends with status 1.
#pragma once

#include <functional>

#include "absl/status/status.h"
#include "base/thread_roles.h"
#include "control/mount_plan.h"

namespace penstock {

// Serves until SIGTERM, SIGINT, SIGHUP, the command "quit", or the end of the export "mount": by an
// unmount or by block-export-del. What commands have added ends with it. `on_ready`: the file is
// readable.
absl::Status serve_mount(const MountPlan& plan,
                         const std::function<void()>& on_ready) BLOCKING_CODE;

}  // namespace penstock
