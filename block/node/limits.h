// SPDX-License-Identifier: Apache-2.0
// What a node's driver can take in one request.
//
// Ownership: values; written while the node is not yet visible or drained.
// Threads: read by any request in flight in the node.
// Errors: none.
// Invariants: alignments are powers of two, at least 1. All numbers are bytes; 0 is "no limit".
#pragma once

#include <cstdint>

namespace penstock {

struct Limits {
  uint64_t request_alignment = 1;  // offset and length of reads and writes; the choke point pads
  uint64_t memory_alignment = 1;   // address of their memory; the choke point copies
  uint64_t max_transfer = 0;       // longest read or write
  uint64_t zero_alignment = 1;     // smaller pieces of a zeroing are written
  uint64_t discard_alignment = 1;  // smaller pieces of a discard are skipped
};

}  // namespace penstock
