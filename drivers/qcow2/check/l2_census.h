// SPDX-License-Identifier: Apache-2.0
// Which L2 tables the L1 tables of an image name, and how often: each is then walked once, however
// many snapshots share it.
//
// The tables come in batches in the order of their offsets. An image with more of them than fit a
// batch has its L1 tables read again for each.
//
// Ownership: on the heap of one check.
// Threads: one coroutine, in flight in the image's node.
// Errors: the file's own.
// Invariants: memory: two batches of kBatch tables. Every L1 entry that is not zero is counted,
//   whatever it says.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "base/thread_roles.h"
#include "block/node/child.h"
#include "drivers/qcow2/check/metadata_reader.h"

namespace penstock {

struct L1Table {
  uint64_t offset = 0;  // bytes
  uint32_t entries = 0;
  bool active = false;  // the disk's, not a snapshot's
  uint64_t times = 1;   // how many snapshots share exactly this table
};

struct L2Table {
  uint64_t offset = 0;    // bytes
  uint64_t active = 0;    // entries of the disk's L1 table that name it
  uint64_t inactive = 0;  // entries of snapshots' L1 tables that name it

  uint64_t references() const { return active + inactive; }
};

class L2Census {
 public:
  static constexpr size_t kBatch = 128 << 10;  // tables

  // Told what the L1 tables say while the first batch is gathered.
  class Visitor {
   public:
    virtual ~Visitor() = default;
    // An entry that is not zero.
    virtual void co_see_entry(const L1Table& table, uint64_t index, uint64_t entry) IO_CODE = 0;
    // The table, or its rest, could not be read.
    virtual void see_unreadable(const L1Table& table, const absl::Status& status) = 0;
  };

  // Both outlive the census.
  L2Census(const Child& file, const std::vector<L1Table>& tables) : reader_(file), l1_(tables) {}

  // The next tables, sorted by offset. Empty: there are no more.
  const std::vector<L2Table>& co_next(Visitor& visitor) IO_CODE;

 private:
  void co_gather(const L1Table& table, Visitor& visitor) IO_CODE;
  void note(uint64_t offset, const L1Table& table);
  // Sorts and merges; keeps the first kBatch.
  void compact();

  MetadataReader reader_;
  const std::vector<L1Table>& l1_;
  std::vector<L2Table> batch_;
  bool started_ = false;
  bool complete_ = false;
  uint64_t done_ = 0;              // the last offset of the batches before
  uint64_t ceiling_ = UINT64_MAX;  // tables above it belong to later batches
};

}  // namespace penstock
