// SPDX-License-Identifier: Apache-2.0
#include "drivers/qcow2/qcow2_compressed_clusters.h"

#include <vector>

#include "drivers/qcow2/qcow2_decompress_batch.h"

namespace penstock {
struct Qcow2CompressedClusters::State {
  State(const Qcow2Geometry& geometry, Qcow2Compression compression, Qcow2ProcessMemory& memory)
      : shared(geometry, compression, memory) {}

  Qcow2DecompressShared shared;
};

Qcow2CompressedClusters::Qcow2CompressedClusters(const Qcow2Geometry& geometry,
                                                 Qcow2Compression compression,
                                                 Qcow2ProcessMemory& memory)
    : state_(std::make_unique<State>(geometry, compression, memory)) {}

Qcow2CompressedClusters::~Qcow2CompressedClusters() = default;

absl::Status Qcow2CompressedClusters::co_read(const Child& file,
                                              std::span<const Qcow2CompressedPiece> pieces) {
  Qcow2DecompressShared& shared = state_->shared;
  Qcow2DecompressBatch batch(shared, file);
  std::vector<std::shared_ptr<Qcow2ClusterCache::Flight>> joined;
  absl::Status result;
  for (const Qcow2CompressedPiece& piece : pieces) {
    if (piece.data.empty()) continue;
    auto found = shared.cache.find(piece);
    if (found.cluster != nullptr) {
      piece.data.copy_from(
          found.cluster->span().subspan(piece.offset_in_cluster, piece.data.length()));
    } else if (!found.leads) {
      joined.push_back(std::move(found.flight));
    } else if (!batch.add(piece, found.flight)) {
      result.Update(batch.co_run());
      batch.add(piece, found.flight);
    }
  }
  result.Update(batch.co_run());
  // Last, and without a part of the budget: their leaders may wait for it.
  for (const auto& flight : joined) result.Update(flight->co_wait_landed());
  return result;
}

Qcow2CompressedCounts Qcow2CompressedClusters::counts() const {
  return {state_->shared.decompressed.load(std::memory_order_relaxed),
          state_->shared.memory.decompression.peak()};
}

}  // namespace penstock
