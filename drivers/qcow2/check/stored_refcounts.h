// SPDX-License-Identifier: Apache-2.0
// The refcounts as the image says them: its refcount table and the blocks that it names.
//
// Ownership: on the heap of one check.
// Threads: one coroutine, in flight in the image's node.
// Errors: EIO for clusters whose block is not aligned; the file's own.
// Invariants: memory: the table (at most 8 MiB) and the readers' pieces. A cluster that no block
//   covers has refcount 0.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/thread_roles.h"
#include "block/node/child.h"
#include "drivers/qcow2/check/metadata_reader.h"
#include "drivers/qcow2/qcow2_header.h"

namespace penstock {

class StoredRefcounts {
 public:
  // Some clusters in a row whose refcounts are known, or cannot be known.
  struct Run {
    uint64_t first = 0;  // cluster
    uint64_t count = 0;
    const std::byte* block = nullptr;  // nullptr: all are zero (or unreadable)
    uint64_t index_in_block = 0;       // of `first`, counted from `block`
    absl::Status status;               // why they cannot be read
  };

  StoredRefcounts(const Child& file, const Qcow2Header& header);

  absl::Status co_load_table() IO_CODE;

  size_t table_size() const { return table_.size(); }
  uint64_t table_entry(size_t index) const { return table_[index]; }
  uint64_t clusters_per_block() const { return uint64_t{1} << block_bits_; }

  // Calls `visit` for runs that cover the clusters [first, end), in order.
  void co_for_each_run(uint64_t first, uint64_t end,
                       const std::function<void(const Run&)>& visit) IO_CODE;
  uint64_t value(const Run& run, uint64_t cluster) const;

  // One cluster's, anywhere.
  absl::StatusOr<uint64_t> co_get(uint64_t cluster) IO_CODE;
  // False if the cluster's refcount surely cannot be read.
  bool may_read(uint64_t cluster) const;

 private:
  // The offset of the block that covers a cluster; 0: none.
  uint64_t block_of(uint64_t cluster) const;
  uint64_t decode(const std::byte* block, uint64_t index) const;

  const Qcow2Header& header_;
  const unsigned order_;       // log2 of the width in bits
  const unsigned block_bits_;  // log2 of the clusters that a block covers
  MetadataReader reader_;
  MetadataReader single_reader_;
  std::vector<uint64_t> table_;
};

}  // namespace penstock
