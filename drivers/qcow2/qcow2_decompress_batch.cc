// SPDX-License-Identifier: Apache-2.0
#include "drivers/qcow2/qcow2_decompress_batch.h"

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>

#include "base/status.h"
#include "block/io/child_io.h"
#include "block/node/node.h"
#include "drivers/qcow2/qcow2_decompress.h"
#include "drivers/qcow2/qcow2_decompress_jobs.h"

namespace penstock {
namespace {

// A batch of so few bytes is decompressed in the coroutine: 16 KiB of zlib took 28 us and of zstd
// 9 us, which is less than the two wake-ups (20 to 50 us each) of a worker's round trip.
constexpr uint64_t kInlineBytes = 16 << 10;

constexpr size_t kReadAlignment = 4096;

std::string place(const Qcow2CompressedRange& range) {
  return "the compressed cluster at offset " + std::to_string(range.offset) + " of the image file";
}

}  // namespace

bool Qcow2DecompressBatch::add(const Qcow2CompressedPiece& piece,
                               const std::shared_ptr<Qcow2ClusterCache::Flight>& flight) {
  const auto range = qcow2_compressed_range(shared_.geometry, piece.descriptor);
  // Half of the budget, so that the next request's reads go on beside this one's workers.
  if (!items_.empty() && cost_ + cost(range) > Qcow2ProcessMemory::kDecompression / 2) return false;
  items_.push_back({&piece, flight, range, absl::OkStatus()});
  cost_ += cost(range);
  return true;
}

absl::Status Qcow2DecompressBatch::co_run() {
  if (items_.empty()) return absl::OkStatus();
  Qcow2ByteBudget& shares = budget();
  shares.co_take(cost_);
  co_decompress_all();
  shares.give_back(cost_);
  absl::Status result;
  for (const Item& item : items_) result.Update(item.status);
  items_.clear();
  cost_ = 0;
  return result;
}

// The file's own requests may need the process's budget while this batch holds its part.
Qcow2ByteBudget& Qcow2DecompressBatch::budget() const {
  for (const Child* file = &file_; file != nullptr; file = file->node->find_child("file")) {
    if (file->node->driver_name == "qcow2") return shared_.own_budget;
  }
  return shared_.memory.decompression;
}

void Qcow2DecompressBatch::co_decompress_all() {
  const bool inlined = items_.size() * shared_.geometry.cluster_size() <= kInlineBytes;
  std::deque<Run> runs = cut_into_runs();
  Qcow2DecompressJobs jobs;
  for (Run& run : runs) {
    run.data = AlignedBuffer(run.length, kReadAlignment);
    const iovec segment = iovec_of(run.data.span());
    if (const auto read = co_preadv(file_, run.offset, IoVector(segment)); !read.ok()) {
      for (Item& item : run.items) land(item, annotate(read, place(item.range)), {}, {});
    } else if (inlined) {
      for (Item& item : run.items) decompress(run, item);
    } else {
      jobs.start(run.items.size(), [this, &run](size_t i) { decompress(run, run.items[i]); });
    }
  }
  jobs.co_wait_all();
}

std::deque<Qcow2DecompressBatch::Run> Qcow2DecompressBatch::cut_into_runs() {
  std::ranges::sort(items_, {}, [](const Item& item) { return item.range.offset; });
  const uint64_t file_size = file_.node->size();
  std::deque<Run> runs;
  for (Item& item : items_) {
    if (item.range.offset >= file_size) {
      land(item,
           errno_message(EIO, place(item.range) + " begins past the file's end (" +
                                  std::to_string(file_size) + " bytes)"),
           {}, {});
      continue;
    }
    // The last sector that a cluster counts may be cut off by the end of the file.
    const uint64_t end = std::min(item.range.offset + item.range.size, file_size);
    if (runs.empty() || item.range.offset > runs.back().offset + runs.back().length) {
      runs.push_back({item.range.offset, end - item.range.offset, {&item, 1}, {}});
      continue;
    }
    Run& run = runs.back();
    run.length = std::max(run.length, end - run.offset);
    run.items = {run.items.data(), run.items.size() + 1};
  }
  return runs;
}

void Qcow2DecompressBatch::decompress(const Run& run, Item& item) {
  const uint64_t skip = item.range.offset - run.offset;
  const auto input = std::span<const std::byte>(run.data.span())
                         .subspan(skip, std::min(item.range.size, run.length - skip));
  // Who wants the whole cluster in one piece of memory gets it without a copy.
  const uint64_t cluster_size = shared_.geometry.cluster_size();
  const iovec own = item.piece->data.contiguous();
  AlignedBuffer buffer;
  std::span<std::byte> cluster(static_cast<std::byte*>(own.iov_base), own.iov_len);
  if (cluster.size() != cluster_size) {
    buffer = AlignedBuffer(cluster_size, kQcow2ClusterAlignment);
    cluster = buffer.span();
  }
  shared_.decompressed.fetch_add(1, std::memory_order_relaxed);
  auto done = qcow2_decompress(shared_.compression, input, cluster);
  if (!done.ok()) done = annotate(done, place(item.range));
  land(item, done, cluster, std::move(buffer));
}

void Qcow2DecompressBatch::land(Item& item, const absl::Status& status,
                                std::span<const std::byte> cluster, AlignedBuffer buffer) {
  item.status = status;
  shared_.cache.land(*item.flight, status, cluster, std::move(buffer));
}

}  // namespace penstock
