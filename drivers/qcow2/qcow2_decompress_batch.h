// SPDX-License-Identifier: Apache-2.0
// Clusters that one request decompresses together: their bytes are read in as few requests as they
// adjoin, and decompressed while the next are read.
//
// Ownership: lives on the request's coroutine; refers to what the image's requests share.
// Threads: one coroutine, in flight in the image's node.
// Errors: each cluster's flight lands with its own status: EIO naming the offset in the file for a
//   range outside the file and for data that does not decompress; the file's own.
// Invariants: every flight that was added has landed when co_run() returns. It holds its part of
//   the budget while it has buffers, and waits for nothing but its own reads and workers meanwhile.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "base/aligned_buffer.h"
#include "base/thread_roles.h"
#include "block/node/child.h"
#include "drivers/qcow2/qcow2_byte_budget.h"
#include "drivers/qcow2/qcow2_cluster_cache.h"
#include "drivers/qcow2/qcow2_compressed_clusters.h"
#include "drivers/qcow2/qcow2_geometry.h"
#include "drivers/qcow2/qcow2_header.h"
#include "drivers/qcow2/qcow2_l2_entry.h"
#include "drivers/qcow2/qcow2_process_memory.h"

namespace penstock {

// What all requests of an image share.
struct Qcow2DecompressShared {
  Qcow2DecompressShared(const Qcow2Geometry& cut, Qcow2Compression kind,
                        Qcow2ProcessMemory& process_memory)
      : geometry(cut),
        compression(kind),
        memory(process_memory),
        cache(memory.kept, cut.cluster_size()) {}

  const Qcow2Geometry geometry;
  const Qcow2Compression compression;
  Qcow2ProcessMemory& memory;
  Qcow2ClusterCache cache;
  // In place of the process's, if the file is in a qcow2 image itself.
  Qcow2ByteBudget own_budget{Qcow2ProcessMemory::kDecompression};
  std::atomic<uint64_t> decompressed{0};  // clusters
};

class Qcow2DecompressBatch {
 public:
  Qcow2DecompressBatch(Qcow2DecompressShared& shared, const Child& file)
      : shared_(shared), file_(file) {}
  Qcow2DecompressBatch(const Qcow2DecompressBatch&) = delete;
  Qcow2DecompressBatch& operator=(const Qcow2DecompressBatch&) = delete;

  // Adds a piece and the flight that the caller leads for it. False: the batch is full; run it
  // first.
  bool add(const Qcow2CompressedPiece& piece,
           const std::shared_ptr<Qcow2ClusterCache::Flight>& flight);
  // Decompresses what was added, and is empty again. The first error, if there is one.
  absl::Status co_run() IO_CODE;

 private:
  struct Item {
    const Qcow2CompressedPiece* piece;
    std::shared_ptr<Qcow2ClusterCache::Flight> flight;
    Qcow2CompressedRange range;
    absl::Status status;
  };
  // Items whose ranges adjoin, and the bytes of the file that they cover.
  struct Run {
    uint64_t offset;
    uint64_t length;
    std::span<Item> items;
    AlignedBuffer data;
  };

  uint64_t cost(const Qcow2CompressedRange& range) const {
    return range.size + shared_.geometry.cluster_size();
  }
  Qcow2ByteBudget& budget() const;
  void co_decompress_all() IO_CODE;
  // Lands those that begin past the end of the file.
  std::deque<Run> cut_into_runs();
  void decompress(const Run& run, Item& item);
  void land(Item& item, const absl::Status& status, std::span<const std::byte> cluster,
            AlignedBuffer buffer);

  Qcow2DecompressShared& shared_;
  const Child& file_;
  std::vector<Item> items_;
  uint64_t cost_ = 0;  // bytes
};

}  // namespace penstock
