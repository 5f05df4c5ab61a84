// SPDX-License-Identifier: Apache-2.0
// Zeroing and discarding at the choke point.
#include <algorithm>
#include <cerrno>
#include <optional>

#include "base/status.h"
#include "block/io/aligned_io.h"
#include "block/io/child_io.h"
#include "block/io/driver_access.h"
#include "block/io/flush.h"
#include "block/io/mapped_io.h"
#include "block/io/node_entry.h"
#include "block/io/request_checks.h"
#include "block/io/write_ticket.h"

namespace penstock {
namespace {

bool unsupported(const absl::Status& status) { return status_errno(status) == EOPNOTSUPP; }

// The largest aligned range within `range`; empty if there is none.
ByteRange align_inwards(ByteRange range, uint64_t alignment) {
  const uint64_t begin = std::min(align_up(range.offset, alignment), range.end());
  const uint64_t end = std::max(align_down(range.end(), alignment), begin);
  return {begin, end - begin};
}

// An aligned range, by the driver's own means.
absl::Status co_zero_quickly(Node& node, ByteRange range, RequestFlags flags) IO_CODE {
  if (auto status = node.driver->co_event("pwritev_zero", range); !status.ok()) return status;
  if (DirectIo* const direct = node.driver->direct_io()) {
    return DriverAccess::co_write_zeroes(*direct, range, flags);
  }
  auto status = DriverAccess::co_map_zeroes(*node.driver->mapped_io(), range, flags);
  if (!unsupported(status)) return status;
  return co_zero_mapped(node, range, flags);
}

absl::Status co_zero_node(Node& node, ByteRange range, RequestFlags flags) IO_CODE {
  const uint64_t unit = std::max(node.limits.zero_alignment, node.limits.request_alignment);
  const ByteRange middle = align_inwards(range, unit);
  const bool no_fallback = (flags & kNoFallback) != 0;
  // The middle first: if the driver cannot, and the caller wants nothing else, nothing is written.
  auto status = middle.empty() ? errno_status(EOPNOTSUPP, "shorter than the unit of zeroing")
                               : co_zero_quickly(node, middle, flags);
  if (unsupported(status)) {
    return no_fallback ? status : co_write_zero_data(node, range);
  }
  if (!status.ok()) return status;
  const ByteRange head{range.offset, middle.offset - range.offset};
  if (!head.empty()) {
    if (status = co_write_zero_data(node, head); !status.ok()) return status;
  }
  const ByteRange tail{middle.end(), range.end() - middle.end()};
  return tail.empty() ? absl::OkStatus() : co_write_zero_data(node, tail);
}

absl::Status co_zero_checked(const Child& child, ByteRange range, RequestFlags flags) IO_CODE {
  Node& node = *child.node;
  // A zeroing that grows the node allocates past its end, which a growing write at the same time
  // might lose in some filesystems: it serialises.
  std::optional<WriteTicket> ordinary;
  std::optional<RequestTracker::Ticket> growing;
  if (range.end() <= node.size()) ordinary.emplace(node, range, flags);
  // Looked at again: a shrink may have come before the ticket.
  if (range.end() > node.size()) {
    ordinary.reset();
    growing.emplace(node.tracker,
                    everything_from(align_down(range.offset, node.limits.request_alignment)),
                    RequestTracker::Ticket::Serialising{});
  }
  if (auto status = check_write_bounds("zeroing", child, range); !status.ok()) return status;
  auto status = co_zero_node(node, range, flags & ~kFua);
  if (!status.ok()) return describe(status, "zeroing", node, range);
  node.grow_size_to(range.end());
  return status;
}

absl::Status co_discard_node(Node& node, ByteRange range) IO_CODE {
  const uint64_t unit = std::max(node.limits.discard_alignment, node.limits.request_alignment);
  const ByteRange middle = align_inwards(range, unit);
  if (middle.empty()) return absl::OkStatus();
  if (DirectIo* const direct = node.driver->direct_io()) {
    return DriverAccess::co_discard(*direct, middle);
  }
  auto status = DriverAccess::co_map_discard(*node.driver->mapped_io(), middle);
  if (!unsupported(status)) return status;
  return co_discard_mapped(node, middle);
}

}  // namespace

absl::Status co_write_zeroes(const Child& child, ByteRange range, RequestFlags flags) {
  Node& node = *child.node;
  if (auto status = check_request("zeroing", child, range, kWrite); !status.ok()) return status;
  if (range.empty()) return absl::OkStatus();
  const NodeEntry entry(node);
  entry.count_request(range.length);
  auto status = co_zero_checked(child, range, flags);
  entry.count_write();
  if (status.ok() && (flags & kFua) != 0) {
    return describe(co_flush_node(node), "zeroing", node, range);
  }
  return status;
}

absl::Status co_discard(const Child& child, ByteRange range) {
  Node& node = *child.node;
  if (auto status = check_request("discard", child, range, kWrite); !status.ok()) return status;
  if (range.empty()) return absl::OkStatus();
  const NodeEntry entry(node);
  entry.count_request(range.length);
  const RequestTracker::Ticket ticket(node.tracker, range);
  if (auto status = check_bounds("discard", node, range); !status.ok()) return status;
  auto status = co_discard_node(node, range);
  entry.count_write();
  if (unsupported(status)) return absl::OkStatus();
  return describe(status, "discard", node, range);
}

}  // namespace penstock
