// SPDX-License-Identifier: Apache-2.0
// Resizing at the choke point.
#include <algorithm>
#include <cerrno>
#include <optional>

#include "base/status.h"
#include "block/io/child_io.h"
#include "block/io/driver_access.h"
#include "block/io/node_entry.h"
#include "block/io/request_checks.h"
#include "block/io/write_ticket.h"

namespace penstock {
namespace {

absl::Status co_resize_node(Node& node, uint64_t size) IO_CODE {
  Resizable* const resizable = node.driver->resizable();
  if (resizable == nullptr) {
    return errno_message(EOPNOTSUPP, "driver '" + node.driver_name + "' cannot change the size");
  }
  // Everything from where the node is changed: also writes beyond both ends, which would grow it.
  std::optional<RequestTracker::Ticket> ticket;
  uint64_t unchanged = 0;
  do {
    ticket.reset();
    unchanged = std::min(node.size(), size);
    ticket.emplace(node.tracker, everything_from(unchanged), RequestTracker::Ticket::Serialising{});
    // Another shrink may have come first.
  } while (node.size() < unchanged);
  if (auto status = DriverAccess::co_resize(*resizable, size); !status.ok()) return status;
  node.set_size(size);
  return absl::OkStatus();
}

}  // namespace

absl::Status co_resize(const Child& child, uint64_t size) {
  Node& node = *child.node;
  const ByteRange range{0, size};
  if (auto status = check_request("resize", child, range, kResize); !status.ok()) return status;
  const NodeEntry entry(node);
  auto status = co_resize_node(node, size);
  entry.count_write();
  return describe(status, "resize", node, range);
}

}  // namespace penstock
