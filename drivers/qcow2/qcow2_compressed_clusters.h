// SPDX-License-Identifier: Apache-2.0
// Reads compressed clusters: takes their bytes from the file, decompresses them on the thread pool,
// and keeps the last ones.
//
// Ownership: owned by the driver; refers to the file's edge.
// Threads: in flight in the image's node, on any context.
// Errors: EIO for data that does not decompress to a whole cluster, naming the offset in the file;
//   the file's own.
// Invariants: memory is bounded for all images together (qcow2_process_memory.h): what is kept, and
//   what is being decompressed, for which requests wait in the order of their coming. An image
//   whose file is itself in a qcow2 image has a budget of its own: it would wait for its requests
//   while it holds what they need. Requests for the same cluster at the same time decompress it
//   once. The pieces of one request are worked on at the same time.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "absl/status/status.h"
#include "base/io_vector.h"
#include "base/thread_roles.h"
#include "block/node/child.h"
#include "drivers/qcow2/qcow2_geometry.h"
#include "drivers/qcow2/qcow2_header.h"
#include "drivers/qcow2/qcow2_process_memory.h"

namespace penstock {

// Part of one compressed cluster, and where its bytes go.
struct Qcow2CompressedPiece {
  uint64_t descriptor = 0;         // the L2 entry
  uint64_t offset_in_cluster = 0;  // bytes, decompressed
  IoVector data;
};

struct Qcow2CompressedCounts {
  uint64_t decompressed = 0;  // clusters, also those that failed
  uint64_t peak_bytes = 0;    // the most that was being decompressed at any time, by all who share
};

class Qcow2CompressedClusters {
 public:
  Qcow2CompressedClusters(const Qcow2Geometry& geometry, Qcow2Compression compression,
                          Qcow2ProcessMemory& memory = Qcow2ProcessMemory::shared());
  Qcow2CompressedClusters(const Qcow2CompressedClusters&) = delete;
  Qcow2CompressedClusters& operator=(const Qcow2CompressedClusters&) = delete;
  ~Qcow2CompressedClusters();

  // `file`: the image file; compressed data is never in an external data file.
  absl::Status co_read(const Child& file, std::span<const Qcow2CompressedPiece> pieces) IO_CODE;

  // What was done so far. From any thread.
  Qcow2CompressedCounts counts() const;

 private:
  struct State;
  const std::unique_ptr<State> state_;
};

}  // namespace penstock
