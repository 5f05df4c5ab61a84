// SPDX-License-Identifier: Apache-2.0
// From a plan to the nodes of the graph: file, format, and the filters that the user asked for.
//
// Ownership: values.
// Threads: pure.
// Errors: EINVAL for options that do not go together.
// Invariants: option names are the drivers' own.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "base/thread_roles.h"
#include "block/node/node.h"
#include "block/node/options.h"
#include "block/node/permission.h"
#include "control/mount_plan.h"

namespace penstock {

// The name of the topmost node.
inline constexpr char kImageNodeName[] = "disk";

// `resolved_path` is the image's, as ImageNamesPolicy::co_resolve_image() answers it; `format` is
// the name of the format's driver, as chosen.
absl::StatusOr<NodeOptions> image_node_options(const MountPlan& plan,
                                               const std::string& resolved_path,
                                               const std::string& format);

// What the mount does with the image, and what it lets others do meanwhile.
Permissions image_permissions(const MountPlan& plan);

}  // namespace penstock
