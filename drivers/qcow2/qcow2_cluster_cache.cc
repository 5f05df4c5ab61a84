// SPDX-License-Identifier: Apache-2.0
#include "drivers/qcow2/qcow2_cluster_cache.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace penstock {

absl::Status Qcow2ClusterCache::Flight::co_wait_landed() {
  landed_.co_wait();
  return status_;
}

Qcow2ClusterCache::Qcow2ClusterCache(uint64_t limit, uint64_t cluster_size)
    : cluster_size_(cluster_size), capacity_(std::max<uint64_t>(1, limit / cluster_size)) {}

Qcow2ClusterCache::Found Qcow2ClusterCache::find(const Qcow2CompressedPiece& piece) {
  const bool partial = piece.data.length() < cluster_size_;
  const ThreadLock lock(mutex_);
  if (const auto kept = index_.find(piece.descriptor); kept != index_.end()) {
    entries_.splice(entries_.begin(), entries_, kept->second);
    return {kept->second->cluster, nullptr, false};
  }
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
  Cluster dropped;
  {
    const ThreadLock lock(mutex_);
    pieces = std::move(flight.pieces_);
    const auto found = flights_.find(flight.descriptor_);
    self = std::move(found->second);
    flights_.erase(found);
    if (status.ok() && cluster != nullptr && flight.partial_) {
      dropped = keep(flight.descriptor_, cluster);
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

size_t Qcow2ClusterCache::size() {
  const ThreadLock lock(mutex_);
  return entries_.size();
}

Qcow2ClusterCache::Cluster Qcow2ClusterCache::keep(uint64_t descriptor, Cluster cluster) {
  entries_.push_front({descriptor, std::move(cluster)});
  index_[descriptor] = entries_.begin();
  if (entries_.size() <= capacity_) return nullptr;
  Cluster dropped = std::move(entries_.back().cluster);
  index_.erase(entries_.back().descriptor);
  entries_.pop_back();
  return dropped;
}

}  // namespace penstock
