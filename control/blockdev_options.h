// SPDX-License-Identifier: Apache-2.0
// blockdev-add's arguments as options of nodes: the general ones by QEMU's names and meaning, the
// rest for the driver.
//
// A child is described in place, named, or null (none). It inherits "read-only", "auto-read-only",
// "force-share", "cache" and "discard" from its parent; a backing file is read-only by default.
//
// Ownership: values.
// Threads: pure; the registry is read only.
// Errors: EINVAL, naming the option by its path ("file.cache.direct"); ENOENT for a driver that is
//   not there.
// Invariants: described children go with their parents, also those with names. Drivers' own options
//   are not looked at here.
#pragma once

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "block/graph/driver_registry.h"
#include "block/node/options.h"
#include "nlohmann/json.hpp"

namespace penstock {

struct BlockdevOptions {
  NodeOptions node;
  // The same, read-only wherever "auto-read-only" allows it; empty if that changes nothing.
  std::optional<NodeOptions> read_only_instead;
};

// What a node has that its description does not say. The values are QEMU's.
struct BlockdevDefaults {
  bool read_only = false;
  bool auto_read_only = false;
  bool force_share = false;
  bool cache_direct = false;
  bool discard_unmap = false;
};

absl::StatusOr<BlockdevOptions> parse_blockdev_options(const DriverRegistry& drivers,
                                                       const nlohmann::json& arguments,
                                                       const BlockdevDefaults& defaults = {});

// QEMU's rule for names that users give: a letter, then letters, digits, '-', '.', '_'; at most 31.
bool is_node_name(const std::string& name);

}  // namespace penstock
