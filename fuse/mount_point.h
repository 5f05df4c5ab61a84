// SPDX-License-Identifier: Apache-2.0
// What is at a mount point, and how to mount there.
//
// Ownership: values.
// Threads: the co_ functions in a coroutine on any context; they ask the thread pool, since a look
//   at a path may wait for another filesystem's server. The rest is pure.
// Errors: those of stat(2), naming the path; ENOTDIR for what is neither a directory nor a regular
//   file.
// Invariants: none.
#pragma once

#include <time.h>

#include <string>

#include "absl/status/statusor.h"
#include "base/host_services.h"
#include "base/thread_roles.h"
#include "fuse/export_options.h"

namespace penstock {

// True if `path` is a regular file (the export covers it), false if it is a directory.
absl::StatusOr<bool> co_is_regular_file(const std::string& path) COROUTINE_CODE;

// True if a FUSE mount whose server has gone is at `path`.
bool co_is_dead_mount(const std::string& path) COROUTINE_CODE;

// When `path` was last modified; now if that cannot be told.
timespec co_modification_time(const std::string& path) COROUTINE_CODE;

MountRequest make_mount_request(const ExportOptions& options, bool writable);

}  // namespace penstock
