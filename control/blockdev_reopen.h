// SPDX-License-Identifier: Apache-2.0
// blockdev-reopen's descriptions as options of nodes.
//
// Ownership: values.
// Threads: pure; co_reopen_blockdevs() on the control thread.
// Errors: those of parse_blockdev_options(), with the place in the list; EINVAL without a
//   "node-name"; those of reopening. The graph is then as it was.
// Invariants: no file is opened that an image names; one that was opened because an image names it
//   is found as it was then.
#pragma once

#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/thread_roles.h"
#include "block/graph/graph.h"
#include "block/node/options.h"
#include "nlohmann/json.hpp"

namespace penstock {

struct BlockdevReopening {
  std::vector<NodeOptions> nodes;
  // The same, read-only wherever "auto-read-only" allows it; empty if that changes nothing.
  std::vector<NodeOptions> read_only_instead;
};

// `descriptions`: the command's list.
absl::StatusOr<BlockdevReopening> parse_blockdev_reopening(const DriverRegistry& drivers,
                                                           const nlohmann::json& descriptions);

absl::Status co_reopen_blockdevs(Graph& graph,
                                 const nlohmann::json& descriptions) CONTROL_COROUTINE_CODE;

}  // namespace penstock
