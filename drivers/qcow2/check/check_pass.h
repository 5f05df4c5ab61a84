// SPDX-License-Identifier: Apache-2.0
// One pass over an image's metadata: the references to the clusters of one window of the file.
//
// A file whose clusters fit one window needs one pass. The first pass also finds everything that
// does not depend on counts, and the windows that the others must look at.
//
// Ownership: on the heap of one check; refers to the check's other parts.
// Threads: one coroutine, in flight in the image's node.
// Errors: none; what goes wrong is in the report.
// Invariants: each finding is reported by exactly one pass.
#pragma once

#include <cstdint>
#include <set>
#include <string>

#include "base/thread_roles.h"
#include "drivers/qcow2/check/check_report.h"
#include "drivers/qcow2/check/reference_counts.h"
#include "drivers/qcow2/check/stored_refcounts.h"
#include "drivers/qcow2/qcow2_geometry.h"

namespace penstock {

class CheckPass {
 public:
  // More windows than this are not looked at: the file is too large for its clusters.
  static constexpr size_t kMaxWindows = 256;

  CheckPass(const Qcow2Geometry& geometry, uint64_t file_size, StoredRefcounts& stored,
            ReferenceCounts& counts, CheckReport& report);
  CheckPass(const CheckPass&) = delete;
  CheckPass& operator=(const CheckPass&) = delete;

  // Begins a pass over the window with this number.
  void co_begin(uint64_t window) IO_CODE;

  bool is_first() const { return is_first_; }
  // Windows with something to look at. More than kMaxWindows: too many, and not all are here.
  const std::set<uint64_t>& windows() const { return windows_; }
  // The file's, and one more if something reaches into the cluster after its end.
  uint64_t clusters() const { return clusters_ + (reaches_past_end_ ? 1 : 0); }

  // Counts `times` references to each cluster that the range touches. One that ends a cluster or
  // more behind the end of the file is a corruption, and counts nothing.
  void refer(uint64_t offset, uint64_t length, uint64_t times, const char* what);

  // What the image says about the cluster at `offset`, if this pass is the one to ask.
  struct Answer {
    bool known = false;
    bool one = false;
  };
  Answer co_stored(uint64_t offset) IO_CODE;

  // The refcount blocks, as clusters: after all other references of the pass.
  void refer_to_refcount_blocks();
  // Compares the pass's counts with the image's.
  void co_compare() IO_CODE;

 private:
  void note_window(uint64_t cluster);
  void note_stored_windows();
  void compare(const StoredRefcounts::Run& run);

  const Qcow2Geometry geometry_;
  const uint64_t file_size_;
  const uint64_t clusters_;
  StoredRefcounts& stored_;
  ReferenceCounts& counts_;
  CheckReport& report_;
  std::set<uint64_t> windows_;
  uint64_t last_noted_ = UINT64_MAX;
  uint64_t first_ = 0;  // clusters of the window
  uint64_t end_ = 0;
  bool is_first_ = false;
  bool reaches_past_end_ = false;
};

}  // namespace penstock
