// SPDX-License-Identifier: Apache-2.0
#include "drivers/qcow2/qcow2_kept_clusters.h"

#include <iterator>
#include <utility>

namespace penstock {

uint64_t Qcow2KeptClusters::bytes() {
  const ThreadLock lock(mutex_);
  return bytes_;
}

Qcow2KeptClusters::Cluster Qcow2KeptClusters::take_out(Place place) {
  Cluster cluster = std::move(place->cluster);
  bytes_ -= cost(*cluster);
  place->shelf->index_.erase(place->descriptor);
  entries_.erase(place);
  return cluster;
}

Qcow2KeptClusters::Shelf::~Shelf() {
  std::vector<Cluster> dropped;  // freed after the lock
  const ThreadLock lock(all_.mutex_);
  dropped.reserve(index_.size());
  while (!index_.empty()) dropped.push_back(all_.take_out(index_.begin()->second));
}

Qcow2KeptClusters::Cluster Qcow2KeptClusters::Shelf::find(uint64_t descriptor) {
  const ThreadLock lock(all_.mutex_);
  const auto found = index_.find(descriptor);
  if (found == index_.end()) return nullptr;
  all_.entries_.splice(all_.entries_.begin(), all_.entries_, found->second);
  return found->second->cluster;
}

std::vector<Qcow2KeptClusters::Cluster> Qcow2KeptClusters::Shelf::keep(uint64_t descriptor,
                                                                       Cluster cluster) {
  std::vector<Cluster> dropped;
  const uint64_t more = cost(*cluster);
  if (more > all_.limit_) return dropped;
  const ThreadLock lock(all_.mutex_);
  while (all_.bytes_ > all_.limit_ - more) {
    dropped.push_back(all_.take_out(std::prev(all_.entries_.end())));
  }
  all_.entries_.push_front({this, descriptor, std::move(cluster)});
  all_.bytes_ += more;
  index_[descriptor] = all_.entries_.begin();
  return dropped;
}

size_t Qcow2KeptClusters::Shelf::size() {
  const ThreadLock lock(all_.mutex_);
  return index_.size();
}

}  // namespace penstock
