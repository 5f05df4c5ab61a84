// SPDX-License-Identifier: Apache-2.0
#include "control/image_nodes.h"

#include <cerrno>
#include <memory>
#include <utility>

#include "base/status.h"
#include "nlohmann/json.hpp"

namespace penstock {
namespace {

// Others may read. Nobody else changes what this mount shows, unless the user accepts that.
constexpr Permission kSharedWithOthers = kConsistentRead | kWriteUnchanged;

NodeOptions options_of(const MountPlan& plan, const std::string& driver) {
  NodeOptions options;
  options.driver = driver;
  options.read_only = !plan.writable;
  options.force_share = plan.force_share;
  options.cache_direct = plan.direct;
  return options;
}

// `below` as the "file" child of a node with `options`.
NodeOptions stack(NodeOptions options, NodeOptions below) {
  options.children["file"].inline_options = std::make_shared<NodeOptions>(std::move(below));
  return options;
}

}  // namespace

absl::StatusOr<NodeOptions> image_node_options(const MountPlan& plan,
                                               const std::string& resolved_path,
                                               const std::string& format) {
  if (format != "raw" && (plan.raw_offset || plan.raw_size)) {
    return errno_message(EINVAL, "offset= and size= are for raw images; this one is " + format);
  }
  if (!plan.snapshot.empty() && format != "qcow2") {
    return errno_message(EINVAL, "--snapshot is for qcow2 images; this one is " + format);
  }
  NodeOptions file = options_of(plan, "file");
  file.driver_options["filename"] = plan.image;
  file.resolved_path = resolved_path;
  file.shared_outside = kSharedWithOthers;

  NodeOptions top = options_of(plan, format);
  if (plan.raw_offset) top.driver_options["offset"] = *plan.raw_offset;
  if (plan.raw_size) top.driver_options["size"] = *plan.raw_size;
  if (!plan.snapshot.empty()) top.driver_options["snapshot"] = plan.snapshot;
  if (plan.accept_lost_tables && format == "qcow2") {
    top.driver_options["accept-lost-tables"] = true;
  }
  if (plan.without_backing || plan.image_alone) top.children["backing"] = {};
  top = stack(std::move(top), std::move(file));

  if (!plan.fault_rules.empty()) {
    NodeOptions faults = options_of(plan, "faults");
    faults.driver_options["rules"] = plan.fault_rules;
    top = stack(std::move(faults), std::move(top));
  }
  // A node without a name would go with its backend, and what failed while it closed with it.
  top.node_name = kImageNodeName;
  return top;
}

Permissions image_permissions(const MountPlan& plan) {
  Permissions permissions;
  permissions.taken = kConsistentRead;
  if (plan.writable) permissions.taken |= kWrite | kWriteUnchanged;
  if (plan.growable) permissions.taken |= kResize;
  // A resize by whoever controls this server is noticed and followed.
  permissions.shared = plan.force_share ? kAllPermissions : kSharedWithOthers | kResize;
  return permissions;
}

}  // namespace penstock
