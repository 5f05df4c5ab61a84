// SPDX-License-Identifier: Apache-2.0
#include "tests/drivers/overlay_driver.h"

#include <algorithm>

#include "base/aligned_buffer.h"
#include "block/io/child_io.h"
#include "block/node/node.h"

namespace penstock {

uint64_t OverlayDriver::allocated_clusters() const {
  return static_cast<uint64_t>(
      std::ranges::count_if(allocated_, [](const auto& each) { return each.load(); }));
}

absl::StatusOr<Mapping> OverlayDriver::co_map(ByteRange range, MapIntent intent) {
  const uint64_t first = range.offset / kCluster;
  if (intent == MapIntent::kWrite && !is_allocated(range.offset)) {
    if (auto status = co_allocate(first); !status.ok()) return status;
  }
  const bool here = is_allocated(range.offset);
  uint64_t end = (first + 1) * kCluster;
  while (end < range.end() && is_allocated(end) == here) end += kCluster;
  const ByteRange mapped{range.offset, std::min(end, range.end()) - range.offset};
  if (here) {
    return Mapping{
        .kind = MappingKind::kData, .range = mapped, .child = &file_, .child_offset = range.offset};
  }
  return Mapping{.kind = MappingKind::kUnallocated,
                 .range = mapped,
                 .child = file_.parent->find_child("backing")};
}

absl::Status OverlayDriver::co_allocate(uint64_t cluster) {
  const CoMutexLock lock(mutex_);
  if (allocated_[cluster].load(std::memory_order_relaxed)) return absl::OkStatus();
  const ByteRange bytes = intersect({cluster * kCluster, kCluster}, {0, size_});
  const AlignedBuffer memory(bytes.length, 4096);
  const iovec segment = iovec_of(memory.span());
  IoVector(segment).fill_zero();
  const Child* const backing = file_.parent->find_child("backing");
  const uint64_t there =
      backing == nullptr ? 0 : intersect(bytes, {0, backing->node->size()}).length;
  if (there > 0) {
    const auto read = co_preadv(*backing, bytes.offset, IoVector(segment).slice(0, there));
    if (!read.ok()) return read;
  }
  if (auto status = co_pwritev(file_, bytes.offset, IoVector(segment)); !status.ok()) return status;
  allocated_[cluster].store(true, std::memory_order_release);
  return absl::OkStatus();
}

OverlayDriver& overlay_of(const Node& node) {
  return *static_cast<OverlayDriver*>(node.driver.get());
}

absl::StatusOr<LoadedDriver> OverlayDriverType::co_load(const LoadContext& context) const {
  LoadedDriver loaded;
  loaded.size = context.file->node->size();
  loaded.driver = std::make_unique<OverlayDriver>(*context.file, loaded.size);
  return loaded;
}

}  // namespace penstock
