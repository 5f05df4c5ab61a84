// SPDX-License-Identifier: Apache-2.0
// Opens an image file or block device and finds out its size and limits.
//
// Ownership: the caller owns the handle.
// Threads: a coroutine on any context; what may block runs in the thread pool.
// Errors: the exact errno with the path; EINVAL for what is neither a file nor a block device, or
//   for direct I/O where the filesystem has none.
// Invariants: nothing in the file changes.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/host_services.h"
#include "block/node/options.h"
#include "drivers/file/file_handle.h"

namespace penstock {

absl::StatusOr<std::unique_ptr<FileHandle>> co_open_file(HostServices& host,
                                                         const std::string& path,
                                                         const NodeOptions& options) COROUTINE_CODE;

}  // namespace penstock
