// SPDX-License-Identifier: Apache-2.0
// Reads and writes of any alignment on a node whose driver takes aligned ones only.
//
// Ownership: the caller's memory outlives the call.
// Threads: in flight in the node, with a ticket that covers the range (see write_ticket.h).
// Errors: the driver's and those of its events, unchanged. A failure before the first write has
//   changed nothing.
// Invariants: bytes outside the range keep their values. Copies are made for unaligned requests and
//   memory only, in pieces of at most 1 MiB and two blocks.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "base/io_vector.h"
#include "base/thread_roles.h"
#include "block/node/node.h"

namespace penstock {

absl::Status co_read_node(Node& node, uint64_t offset, const IoVector& data) IO_CODE;
absl::Status co_write_node(Node& node, uint64_t offset, const IoVector& data) IO_CODE;
// Writes zeroes as data, in pieces of at most 1 MiB.
absl::Status co_write_zero_data(Node& node, ByteRange range) IO_CODE;

}  // namespace penstock
