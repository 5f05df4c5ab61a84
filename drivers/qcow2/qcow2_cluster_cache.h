// SPDX-License-Identifier: Apache-2.0
// The last decompressed clusters, and who waits for those that are being decompressed.
//
// A request looks for a cluster and finds it, or joins a flight (somebody decompresses it already),
// or leads a new one. The leader decompresses and lands the flight, which copies the bytes to
// everybody who joined.
//
// Ownership: owned by Qcow2CompressedClusters. A flight is shared by its leader and its joiners;
//   the memory of their pieces outlives the flight.
// Threads: any. No lock is held while bytes are copied.
// Errors: a flight's status is its leader's.
// Invariants: at most one flight for a cluster at a time. Whoever leads lands, exactly once. The
//   cache holds at most limit / cluster_size clusters, at least one, and drops the least recently
//   used. A cluster is kept only if somebody wanted a part of it: who reads whole clusters does not
//   come back for the rest.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <span>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "base/aligned_buffer.h"
#include "base/thread_roles.h"
#include "drivers/qcow2/qcow2_compressed_clusters.h"
#include "iothreads/co_event.h"
#include "iothreads/thread_mutex.h"

namespace penstock {

// Of the memory of a decompressed cluster: a line of the processor's cache. Direct I/O never sees
// it, and a page would waste most of itself under clusters of 512 bytes.
inline constexpr size_t kQcow2ClusterAlignment = 64;

class Qcow2ClusterCache {
 public:
  using Cluster = std::shared_ptr<const AlignedBuffer>;

  class Flight {
   public:
    explicit Flight(uint64_t descriptor) : descriptor_(descriptor) {}
    // OK: the bytes are in the piece's memory.
    absl::Status co_wait_landed() COROUTINE_CODE;

   private:
    friend class Qcow2ClusterCache;
    const uint64_t descriptor_;
    // Guarded by the cache's lock until the flight has landed; the leader's own piece included.
    std::vector<const Qcow2CompressedPiece*> pieces_;
    bool partial_ = false;  // somebody wants less than the cluster
    absl::Status status_;   // written before the event is set
    CoEvent landed_;
  };

  struct Found {
    Cluster cluster;                 // in the cache; or:
    std::shared_ptr<Flight> flight;  // on its way
    bool leads = false;              // the caller must land it
  };

  // Both in bytes.
  Qcow2ClusterCache(uint64_t limit, uint64_t cluster_size);
  Qcow2ClusterCache(const Qcow2ClusterCache&) = delete;
  Qcow2ClusterCache& operator=(const Qcow2ClusterCache&) = delete;

  // Looks for the piece's cluster. Unless it is in the cache, `piece` stays in use until the flight
  // has landed.
  Found find(const Qcow2CompressedPiece& piece);

  // Ends a flight that the caller leads. If `status` is OK, `bytes` is the whole cluster, either in
  // `buffer` or (with an empty `buffer`) in the memory of the leader's own piece.
  void land(Flight& flight, const absl::Status& status, std::span<const std::byte> bytes,
            AlignedBuffer buffer);

  // How many clusters are kept.
  size_t size();

 private:
  struct Entry {
    uint64_t descriptor;
    Cluster cluster;
  };

  // Returns what was dropped for it, to be freed without the lock.
  Cluster keep(uint64_t descriptor, Cluster cluster) REQUIRES_ROLE(mutex_);

  const uint64_t cluster_size_;
  const size_t capacity_;  // clusters
  ThreadMutex mutex_{"qcow2 cluster cache"};
  std::list<Entry> entries_ GUARDED_BY(mutex_);  // the most recently used first
  absl::flat_hash_map<uint64_t, std::list<Entry>::iterator> index_ GUARDED_BY(mutex_);
  absl::flat_hash_map<uint64_t, std::shared_ptr<Flight>> flights_ GUARDED_BY(mutex_);
};

}  // namespace penstock
