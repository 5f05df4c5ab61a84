// SPDX-License-Identifier: Apache-2.0
#include "drivers/qcow2/qcow2_cluster_cache.h"

#include <cstring>
#include <utility>

namespace penstock {

absl::Status Qcow2ClusterCache::Flight::co_wait_landed() {
  landed_.co_wait();
  return status_;
}

Qcow2ClusterCache::Found Qcow2ClusterCache::find(const Qcow2CompressedPiece& piece) {
  const bool partial = piece.data.length() < cluster_size_;
  const ThreadLock lock(mutex_);
  if (Cluster kept = kept_.find(piece.descriptor)) return {std::move(kept), nullptr, false};
  auto& flight = flights_[piece.descriptor];
  const bool leads = flight == nullptr;
  if (leads) flight = std::make_shared<Flight>(piece.descriptor);
  flight->pieces_.push_back(&piece);
  flight->partial_ |= partial;
  return {nullptr, flight, leads};
}

void Qcow2ClusterCache::land(Flight& flight, const absl::Status& status,
                             std::span<const std::byte> bytes, AlignedBuffer buffer) {
  if (status.ok() && buffer.size() == 0) {
    bool wanted = false;
    {
      const ThreadLock lock(mutex_);
      wanted = flight.partial_;
    }
    if (wanted) {
      buffer = AlignedBuffer(bytes.size(), kQcow2ClusterAlignment);
      std::memcpy(buffer.data(), bytes.data(), bytes.size());
    }
  }
  const Cluster cluster =
      buffer.size() == 0 ? nullptr : std::make_shared<const AlignedBuffer>(std::move(buffer));
  std::vector<const Qcow2CompressedPiece*> pieces;
  std::shared_ptr<Flight> self;  // the joiners may be the last others to hold it
  std::vector<Cluster> dropped;
  {
    const ThreadLock lock(mutex_);
    pieces = std::move(flight.pieces_);
    const auto found = flights_.find(flight.descriptor_);
    self = std::move(found->second);
    flights_.erase(found);
    if (status.ok() && cluster != nullptr && flight.partial_) {
      dropped = kept_.keep(flight.descriptor_, cluster);
    }
  }
  if (status.ok()) {
    for (const Qcow2CompressedPiece* piece : pieces) {
      if (piece->data.contiguous().iov_base == bytes.data()) continue;
      piece->data.copy_from(bytes.subspan(piece->offset_in_cluster, piece->data.length()));
    }
  }
  flight.status_ = status;
  flight.landed_.set();
}

}  // namespace penstock
