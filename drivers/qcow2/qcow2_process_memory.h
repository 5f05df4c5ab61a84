// SPDX-License-Identifier: Apache-2.0
// The memory for compressed clusters that all qcow2 images of the process share.
//
// A long backing chain, or many snapshots shown at once, are many images: what each may take by
// itself would be no bound.
//
// Ownership: outlives the images that use it; the process's own is never destroyed.
// Threads: any.
// Errors: none.
// Invariants: limits in bytes. The budgets are larger than twice what one of the largest clusters
//   needs, which is 4 MiB compressed at the worst, and itself.
#pragma once

#include <cstdint>

#include "drivers/qcow2/qcow2_byte_budget.h"
#include "drivers/qcow2/qcow2_kept_clusters.h"

namespace penstock {

struct Qcow2ProcessMemory {
  static constexpr uint64_t kKept = 16 << 20;
  static constexpr uint64_t kDecompression = 16 << 20;
  static constexpr uint64_t kHeads = 16 << 20;

  static Qcow2ProcessMemory& shared();

  Qcow2KeptClusters kept{kKept};
  // What is being read and decompressed.
  Qcow2ByteBudget decompression{kDecompression};
  // First clusters of images that are being opened.
  Qcow2ByteBudget heads{kHeads};
};

}  // namespace penstock
