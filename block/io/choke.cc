// SPDX-License-Identifier: Apache-2.0
// Reads and writes at the choke point.
#include "block/io/aligned_io.h"
#include "block/io/child_io.h"
#include "block/io/flush.h"
#include "block/io/node_entry.h"
#include "block/io/request_checks.h"
#include "block/io/write_ticket.h"

namespace penstock {
namespace {

absl::Status co_read_checked(const Child& child, uint64_t offset, const IoVector& data,
                             RequestFlags flags) IO_CODE {
  Node& node = *child.node;
  const ByteRange range{offset, data.length()};
  if ((flags & kSerialising) != 0) [[unlikely]] {
    const RequestTracker::Ticket ticket(node.tracker, range, RequestTracker::Ticket::Serialising{});
    if (auto status = check_bounds("read", node, range); !status.ok()) return status;
    return describe(co_read_node(node, offset, data), "read", node, range);
  }
  const RequestTracker::Ticket ticket(node.tracker, range);
  // With the ticket: a shrink may have come first.
  if (auto status = check_bounds("read", node, range); !status.ok()) return status;
  return describe(co_read_node(node, offset, data), "read", node, range);
}

absl::Status co_write_checked(const Child& child, uint64_t offset, const IoVector& data,
                              RequestFlags flags) IO_CODE {
  Node& node = *child.node;
  const ByteRange range{offset, data.length()};
  const WriteTicket ticket(node, range, flags);
  if (auto status = check_write_bounds("write", child, range); !status.ok()) return status;
  auto status = co_write_node(node, offset, data);
  if (!status.ok()) return describe(status, "write", node, range);
  // After the data, so that nobody reads beyond what is there.
  node.grow_size_to(range.end());
  return status;
}

}  // namespace

absl::Status co_preadv(const Child& child, uint64_t offset, const IoVector& data,
                       RequestFlags flags) {
  const ByteRange range{offset, data.length()};
  if (auto status = check_request("read", child, range, kConsistentRead); !status.ok()) {
    return status;
  }
  if (range.empty()) return absl::OkStatus();
  const NodeEntry entry(*child.node);
  entry.count_request(range.length);
  return co_read_checked(child, offset, data, flags);
}

absl::Status co_pwritev(const Child& child, uint64_t offset, const IoVector& data,
                        RequestFlags flags) {
  Node& node = *child.node;
  const ByteRange range{offset, data.length()};
  if (auto status = check_request("write", child, range, kWrite); !status.ok()) return status;
  if (range.empty()) return absl::OkStatus();
  const NodeEntry entry(node);
  entry.count_request(range.length);
  auto status = co_write_checked(child, offset, data, flags);
  entry.count_write();
  if (status.ok() && (flags & kFua) != 0) {
    return describe(co_flush_node(node), "write", node, range);
  }
  return status;
}

}  // namespace penstock
