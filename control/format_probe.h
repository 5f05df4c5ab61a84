// SPDX-License-Identifier: Apache-2.0
// Decides which format an image is opened with.
//
// Ownership: nothing is kept.
// Threads: a coroutine on any context; reads happen on the thread pool.
// Errors: the errno of opening or reading; EINVAL for a format that is unknown, not supported, or
//   may not be guessed, with what to say instead.
// Invariants: raw is never guessed for a writable image: a guest could have written the header of
//   another format into it. The image is opened read-only here.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "base/host_services.h"
#include "base/thread_roles.h"
#include "base/unique_fd.h"
#include "block/graph/driver_registry.h"

namespace penstock {

// The image that a user named.
struct NamedImage {
  const std::string& name;
  // Opened in place of the name, without following links; empty: the name is opened.
  const std::string& resolved_path;
};

// `wanted` is the name that the user gave, or empty. Answers the driver's name.
absl::StatusOr<std::string> co_choose_format(const DriverRegistry& drivers, HostServices& host,
                                             const NamedImage& image, const std::string& wanted,
                                             bool writable) COROUTINE_CODE;

// The name of the format whose mark the open file carries, supported or not; empty if none.
absl::StatusOr<std::string> co_find_format(const DriverRegistry& drivers,
                                           const UniqueFd& fd) COROUTINE_CODE;

// OK if there is a driver for images of the format `name`; else the error says which there are.
absl::Status check_format(const DriverRegistry& drivers, const std::string& name);

}  // namespace penstock
