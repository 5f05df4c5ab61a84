// SPDX-License-Identifier: Apache-2.0
// The decompressed clusters that are kept, of all images of the process together.
//
// Each image has a shelf of its own; the limit is one for all shelves, and whoever has not been
// looked at for longest goes first, whosever it is.
//
// Ownership: outlives its shelves. A shelf belongs to an image's cache; what is on it goes with it.
//   Who has found a cluster shares it and may go on reading when it is kept no more.
// Threads: any.
// Errors: none. What does not fit is not kept.
// Invariants: the clusters, and what it costs to keep them, never exceed the limit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "base/aligned_buffer.h"
#include "base/thread_roles.h"
#include "iothreads/thread_mutex.h"

namespace penstock {

class Qcow2KeptClusters {
 public:
  using Cluster = std::shared_ptr<const AlignedBuffer>;

  // Bytes that a kept cluster counts beside its own, for the lists that it is in.
  static constexpr uint64_t kEntryCost = 256;

  class Shelf;

  explicit Qcow2KeptClusters(uint64_t limit) : limit_(limit) {}  // bytes
  Qcow2KeptClusters(const Qcow2KeptClusters&) = delete;
  Qcow2KeptClusters& operator=(const Qcow2KeptClusters&) = delete;

  // Bytes that are counted now.
  uint64_t bytes();

 private:
  struct Entry {
    Shelf* shelf;
    uint64_t descriptor;
    Cluster cluster;
  };
  using Place = std::list<Entry>::iterator;

  static uint64_t cost(const AlignedBuffer& cluster) { return cluster.size() + kEntryCost; }
  // Takes the entry off its shelf and out of the list.
  Cluster take_out(Place place) REQUIRES_ROLE(mutex_);

  const uint64_t limit_;
  ThreadMutex mutex_{"qcow2 kept clusters"};
  uint64_t bytes_ GUARDED_BY(mutex_) = 0;
  std::list<Entry> entries_ GUARDED_BY(mutex_);  // the most recently used first
};

// One image's clusters.
class Qcow2KeptClusters::Shelf {
 public:
  explicit Shelf(Qcow2KeptClusters& all) : all_(all) {}
  Shelf(const Shelf&) = delete;
  Shelf& operator=(const Shelf&) = delete;
  ~Shelf();

  // nullptr if it is not kept.
  Cluster find(uint64_t descriptor);
  // REQUIRES: nothing is kept for `descriptor`. Answers what went for it, so that the caller frees
  // that without a lock.
  std::vector<Cluster> keep(uint64_t descriptor, Cluster cluster);
  // How many clusters are kept.
  size_t size();

 private:
  friend class Qcow2KeptClusters;

  Qcow2KeptClusters& all_;
  // Guarded by the lock of all_.
  absl::flat_hash_map<uint64_t, Place> index_;
};

}  // namespace penstock
