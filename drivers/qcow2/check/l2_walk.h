// SPDX-License-Identifier: Apache-2.0
// Walks one L2 table of a check: counts what its entries refer to, and finds entries that cannot be
// right.
//
// Ownership: on the heap of one check; refers to its other parts.
// Threads: one coroutine, in flight in the image's node.
// Errors: none; what goes wrong is in the report.
// Invariants: reads the table once, in pieces, whatever the number of entries that name it; what is
//   found counts once for each of them, as in "qemu-img check".
#pragma once

#include <cstdint>

#include "base/thread_roles.h"
#include "block/node/child.h"
#include "drivers/qcow2/check/check_pass.h"
#include "drivers/qcow2/check/check_report.h"
#include "drivers/qcow2/check/l2_census.h"
#include "drivers/qcow2/check/metadata_reader.h"
#include "drivers/qcow2/qcow2_geometry.h"
#include "drivers/qcow2/qcow2_l2_entry.h"

namespace penstock {

class L2Walk {
 public:
  L2Walk(const Child& file, const Qcow2Geometry& geometry, CheckPass& pass, CheckReport& report)
      : geometry_(geometry), pass_(pass), report_(report), reader_(file) {}

  // `check_copied`: compare the flags that say "refcount is one" with the refcounts.
  void co_walk(const L2Table& table, bool check_copied) IO_CODE;

 private:
  struct Place {
    const L2Table& table;
    uint64_t index = 0;
    bool check_copied = false;
  };

  void co_look(const Place& place, Qcow2L2Entry entry) IO_CODE;
  void look_compressed(const Place& place, Qcow2L2Entry entry);
  void co_look_allocated(const Place& place, Qcow2L2Entry entry) IO_CODE;
  void co_check_copied(const Place& place, Qcow2L2Entry entry) IO_CODE;
  void corruption(const Place& place, uint64_t count, Qcow2L2Entry entry, const char* what);

  const Qcow2Geometry geometry_;
  CheckPass& pass_;
  CheckReport& report_;
  MetadataReader reader_;
  uint64_t next_offset_ = 0;  // where the last allocated cluster of this table ends; 0: none yet
};

}  // namespace penstock
