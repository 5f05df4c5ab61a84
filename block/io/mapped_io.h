// SPDX-License-Identifier: Apache-2.0
// The engine that moves bytes for drivers that only say where they are.
//
// It splits a request by the driver's mappings. Where a layer has nothing it goes on in the backing
// node, in a loop over a list of entered nodes, so that a long chain needs no stack. Into data
// children it goes through the choke point.
//
// Ownership: the caller's memory outlives the call.
// Threads: in flight in the node, with a ticket.
// Errors: the drivers'; EIO for a mapping that cannot be; ELOOP for a chain of more than
//   kMaxChainLength nodes.
// Invariants: while bytes of a node are used the request is in flight in it and has a ticket there.
//   Past the end of a shorter backing node are zeroes. No allocation unless a backing node is read.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "base/io_vector.h"
#include "base/thread_roles.h"
#include "block/node/node.h"
#include "block/node/request_flags.h"

namespace penstock {

// Nodes of one backing chain, the first one included.
inline constexpr unsigned kMaxChainLength = 256;

// The error of a longer one.
absl::Status chain_too_long(const Node& node);

absl::Status co_read_mapped(Node& node, uint64_t offset, const IoVector& data) IO_CODE;
absl::Status co_write_mapped(Node& node, uint64_t offset, const IoVector& data) IO_CODE;
// Zeroes piece by piece through the mapped children.
absl::Status co_zero_mapped(Node& node, ByteRange range, RequestFlags flags) IO_CODE;
// Discards in the children what is mapped to them; allocates nothing.
absl::Status co_discard_mapped(Node& node, ByteRange range) IO_CODE;

}  // namespace penstock
