// SPDX-License-Identifier: Apache-2.0
#include "block/io/flush.h"

#include "block/io/child_io.h"
#include "block/io/driver_access.h"
#include "block/io/node_entry.h"
#include "block/io/request_checks.h"

namespace penstock {
namespace {

absl::Status co_flush_children(const Node& node) IO_CODE {
  for (const auto& child : node.children) {
    // A backing node is not written through this one, unless the edge says otherwise.
    const Permission taken = child->taken.load(std::memory_order_relaxed);
    if (child->role == ChildRole::kBacking && (taken & kWrite) == 0) continue;
    if (auto status = co_flush(*child); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status co_flush_driver(Node& node) IO_CODE {
  if (DirectIo* const direct = node.driver->direct_io()) return DriverAccess::co_flush(*direct);
  if (auto status = DriverAccess::co_flush_metadata(*node.driver->mapped_io()); !status.ok()) {
    return status;
  }
  return co_flush_children(node);
}

}  // namespace

absl::Status co_flush_node(Node& node) {
  // Sums of several counters stand for the moments when they were read: a write that completed
  // after `covered` was read and before `wanted` was makes the latter larger.
  const uint64_t wanted = node.counters.writes_completed();
  FlushState& state = node.flush_state;
  const CoMutexLock lock(state.mutex);
  if (!state.failure.ok()) return state.failure;
  // Whoever waited for the mutex behind a flush that began later than its writes is served already.
  if (state.flushed.has_value() && *state.flushed >= wanted) return absl::OkStatus();
  const uint64_t covered = node.counters.writes_completed();
  if (auto status = co_flush_driver(node); !status.ok()) {
    // The storage may have dropped what it could not write, and would not tell again.
    state.failure = status;
    return status;
  }
  state.flushed = covered;
  return absl::OkStatus();
}

absl::Status co_flush(const Child& child) {
  Node& node = *child.node;
  if (node.read_only) return absl::OkStatus();
  const NodeEntry entry(node);
  return describe(co_flush_node(node), "flush", node, {});
}

}  // namespace penstock
