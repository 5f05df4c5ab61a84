// SPDX-License-Identifier: Apache-2.0
// The last decompressed clusters, and who waits for those that are being decompressed.
//
// A request looks for a cluster and finds it, or joins a flight (somebody decompresses it already),
// or leads a new one. The leader decompresses and lands the flight, which copies the bytes to
// everybody who joined.
//
// Ownership: owned by Qcow2CompressedClusters; the clusters are kept among those of all images
//   (qcow2_kept_clusters.h). A flight is shared by its leader and its joiners; the memory of their
//   pieces outlives the flight.
// Threads: any. No lock is held while bytes are copied.
// Errors: a flight's status is its leader's.
// Invariants: at most one flight for a cluster at a time. Whoever leads lands, exactly once. A
//   cluster is kept only if somebody wanted a part of it: who reads whole clusters does not come
//   back for the rest.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "base/aligned_buffer.h"
#include "base/thread_roles.h"
#include "drivers/qcow2/qcow2_compressed_clusters.h"
#include "drivers/qcow2/qcow2_kept_clusters.h"
#include "iothreads/co_event.h"
#include "iothreads/thread_mutex.h"

namespace penstock {

// Of the memory of a decompressed cluster: a line of the processor's cache. Direct I/O never sees
// it, and a page would waste most of itself under clusters of 512 bytes.
inline constexpr size_t kQcow2ClusterAlignment = 64;

class Qcow2ClusterCache {
 public:
  using Cluster = Qcow2KeptClusters::Cluster;

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

  // `cluster_size` in bytes.
  Qcow2ClusterCache(Qcow2KeptClusters& kept, uint64_t cluster_size)
      : cluster_size_(cluster_size), kept_(kept) {}
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
  size_t size() { return kept_.size(); }

 private:
  const uint64_t cluster_size_;
  Qcow2KeptClusters::Shelf kept_;
  ThreadMutex mutex_{"qcow2 cluster cache"};
  absl::flat_hash_map<uint64_t, std::shared_ptr<Flight>> flights_ GUARDED_BY(mutex_);
};

}  // namespace penstock
