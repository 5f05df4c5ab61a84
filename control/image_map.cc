// SPDX-License-Identifier: Apache-2.0
#include "control/image_map.h"

#include <algorithm>
#include <vector>

#include "base/byte_range.h"
#include "base/status.h"
#include "block/backend/backend_request.h"
#include "block/node/below_filters.h"
#include "control/opened_image.h"
#include "iothreads/control_thread.h"

namespace penstock {
namespace {

using Take = std::function<void(const MapExtent&)>;

uint64_t ceil_divide(uint64_t value, uint64_t by) { return value / by + (value % by != 0 ? 1 : 0); }

// One image of the chain.
struct Layer {
  // Its data is wherever its file has data: it has no tables of its own.
  bool is_raw = true;
  // Its file is smaller than its clusters, so its holes count.
  bool is_sparse = false;
  bool has_data_file = false;
  uint64_t size = 0;          // bytes of the disk
  uint64_t file_bytes = 0;    // that its file occupies
  uint64_t file_size = 0;     // bytes
  uint64_t cluster_size = 1;  // bytes
  uint64_t table_reach = 1;   // bytes of the disk that one L2 table maps
  // Counted on the way: what the file must hold.
  uint64_t data_clusters = 0;
  uint64_t last_data_cluster = 0;    // its number in the file; the header's is 0
  uint64_t compressed_clusters = 0;  // of the disk: they need as many at most
  uint64_t tables = 0;
  uint64_t tables_end = 0;  // bytes of the disk that counted tables map

  uint64_t file_clusters() const { return ceil_divide(file_size, cluster_size); }
  // QEMU's bound: a tenth more clusters than the file can hold, and at least two.
  uint64_t most_written_clusters() const {
    const uint64_t written = file_bytes / cluster_size;
    return std::max(written * 10 / 9, written + 2);
  }

  void count(const MapExtent& extent) {
    if (!extent.present) return;
    const uint64_t end = extent.start + extent.length;
    const uint64_t new_begin = std::max(extent.start / table_reach * table_reach, tables_end);
    if (end > new_begin) {
      const uint64_t added = ceil_divide(end - new_begin, table_reach);
      tables += added;
      tables_end = new_begin + added * table_reach;
    }
    if (extent.compressed) compressed_clusters += ceil_divide(extent.length, cluster_size);
    if (extent.offset && !has_data_file) {
      // Parts of one cluster come one after the other.
      const uint64_t first = *extent.offset / cluster_size;
      const uint64_t last = (*extent.offset + extent.length - 1) / cluster_size;
      data_clusters += last - first + (first == last_data_cluster ? 0 : 1);
      last_data_cluster = last;
    }
  }

  // Clusters that are in use as far as the tables tell: data, L2 tables, the L1 table, the header,
  // and the refcounts with the usual two bytes for each cluster.
  uint64_t used_clusters() const {
    const uint64_t l1 = ceil_divide(ceil_divide(size, table_reach) * 8, cluster_size);
    const uint64_t refcounts = 1 + ceil_divide(file_clusters() * 2, cluster_size);
    return std::min(data_clusters + compressed_clusters + tables + l1 + 1 + refcounts,
                    file_clusters());
  }
};

Layer describe_layer(const Node& image) GLOBAL_STATE_CODE {
  Layer layer;
  layer.size = image.size();
  const nlohmann::json facts = image.driver->describe();
  const Child* const file = image.find_child("file");
  if (file == nullptr || !facts.is_object() || !facts.contains("cluster-size")) return layer;
  layer.is_raw = false;
  layer.has_data_file = image.find_child("data-file") != nullptr;
  layer.file_bytes = file->node->driver->allocated_bytes();
  layer.file_size = file->node->size();
  layer.cluster_size = std::max<uint64_t>(facts["cluster-size"].get<uint64_t>(), 1);
  const nlohmann::json::json_pointer extended("/format-specific/data/extended-l2");
  const uint64_t entry_size = facts.value(extended, false) ? 16 : 8;
  layer.table_reach = std::max<uint64_t>(layer.cluster_size / entry_size, 1) * layer.cluster_size;
  return layer;
}

std::vector<Layer> describe_layers(const Node& top) GLOBAL_STATE_CODE {
  std::vector<Layer> layers;
  const Node* image = &below_filters(top);
  while (image != nullptr) {
    layers.push_back(describe_layer(*image));
    const Child* const backing = image->find_child("backing");
    image = backing == nullptr ? nullptr : &below_filters(*backing->node);
  }
  return layers;
}

bool continues(const MapExtent& before, const MapExtent& next) {
  return before.depth == next.depth && before.present == next.present && before.zero == next.zero &&
         before.data == next.data && before.compressed == next.compressed &&
         before.offset.has_value() == next.offset.has_value() &&
         (!before.offset || *before.offset + before.length == *next.offset) &&
         before.file == next.file;
}

class ImageMapper {
 public:
  ImageMapper(const OpenedImage& image, MapRange range) : backend_(image.backend) {
    assert_control_thread();
    size_ = image.node.size();
    start_ = std::min(range.start, size_);
    end_ = start_ + std::min(range.max_length, size_ - start_);
    layers_ = describe_layers(image.node);
  }

  absl::Status co_run(const Take& take) COROUTINE_CODE {
    if (may_be_sparse()) {
      // Over the whole disk: what an extent is does not depend on which others are asked for.
      const absl::Status counted = co_walk(
          0, size_, [this](const MapExtent& extent) { layers_[extent.depth].count(extent); });
      if (!counted.ok()) return counted;
      for (Layer& layer : layers_) {
        layer.is_sparse = layer.used_clusters() >= layer.most_written_clusters();
      }
    }
    return co_walk(start_, end_, take);
  }

 private:
  // Only then can its clusters be more than what was written.
  bool may_be_sparse() const {
    return std::any_of(layers_.begin(), layers_.end(), [](const Layer& layer) {
      return !layer.is_raw && layer.file_clusters() >= layer.most_written_clusters();
    });
  }

  absl::Status co_walk(uint64_t start, uint64_t end, const Take& take) COROUTINE_CODE {
    MapExtent current;
    uint64_t at = start;
    while (at < end) {
      const absl::StatusOr<MapExtent> next = co_look({at, end - at});
      if (!next.ok()) return next.status();
      at += next->length;
      if (current.length > 0 && continues(current, *next)) {
        current.length += next->length;
        continue;
      }
      if (current.length > 0) take(current);
      current = *next;
    }
    if (current.length > 0) take(current);
    return absl::OkStatus();
  }

  absl::StatusOr<MapExtent> co_look(ByteRange range) COROUTINE_CODE {
    BackendRequest request(backend_, "map", range.offset, range.length);
    if (!request.status().ok()) return request.status();
    const absl::StatusOr<BlockStatus> status = co_block_status(request.root(), range);
    if (!status.ok()) return status.status();
    MapExtent extent;
    extent.start = range.offset;
    extent.length = status->length;
    extent.depth = std::min<unsigned>(status->depth, static_cast<unsigned>(layers_.size()) - 1);
    extent.present = status->present;
    extent.zero = status->zero;
    extent.data = status->data;
    extent.compressed = status->compressed;
    const Layer& layer = layers_[extent.depth];
    if (status->zero_below && !layer.is_raw) {
      extent.data = true;
      extent.zero = layer.is_sparse;
    }
    if (status->child != nullptr) {
      extent.offset = status->child_offset;
      extent.file = status->child->node->file_name;
    }
    return extent;
  }

  Backend& backend_;
  uint64_t size_ = 0;
  uint64_t start_ = 0;
  uint64_t end_ = 0;
  std::vector<Layer> layers_;
};

}  // namespace

absl::Status map_image(const MountPlan& plan, MapRange range, const Take& take) {
  return use_image(plan, [&](const OpenedImage& image) {
    assert_in_coroutine();
    return ImageMapper(image, range).co_run(take);
  });
}

}  // namespace penstock
