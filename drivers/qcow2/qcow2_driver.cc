// SPDX-License-Identifier: Apache-2.0
#include "drivers/qcow2/qcow2_driver.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/status.h"
#include "block/node/node.h"
#include "drivers/qcow2/check/qcow2_check.h"

namespace penstock {
namespace {

// All in bytes.
constexpr uint64_t kMinSliceSize = 512;
constexpr uint64_t kMaxSliceSize = 4096;
constexpr uint64_t kSlicesInSet = 8;
constexpr uint64_t kMinCacheSize = 96 << 10;
constexpr uint64_t kMaxCacheSize = 4 << 20;  // 32 GiB of disk at the usual cluster size
// An image may have many snapshots open.
constexpr uint64_t kSnapshotCacheSize = 256 << 10;
// What the last of a thousand images has: enough for a walk from its L1 table down.
constexpr uint64_t kLeastShare = kSlicesInSet * kMinSliceSize;

// As much as all tables of the disk need, within limits.
uint64_t cache_size(const Qcow2Geometry& geometry, const Qcow2Driver::View& view) {
  const uint64_t l2_tables = view.size / geometry.bytes_per_l2_table() + 1;
  const uint64_t needed =
      std::min(l2_tables, kMaxCacheSize) * geometry.cluster_size() + uint64_t{view.l1.entries} * 8;
  return std::clamp(needed, kMinCacheSize, view.is_snapshot ? kSnapshotCacheSize : kMaxCacheSize);
}

// Small slices where the share is small, so that a walk through few tables does not throw itself
// out.
uint64_t slice_size(const Qcow2Geometry& geometry, uint64_t share) {
  uint64_t size = std::min(geometry.cluster_size(), kMaxSliceSize);
  while (size > kMinSliceSize && share / size < 2 * kSlicesInSet) size /= 2;
  return size;
}

// The cache takes an odd number of sets; as many as the share has room for.
uint64_t cache_capacity(uint64_t share, uint64_t slice_size) {
  const uint64_t set_size = kSlicesInSet * slice_size;
  return ((share / set_size - 1) | 1) * set_size;
}

}  // namespace

absl::Status refuse_qcow2_writing() {
  return errno_message(
      EROFS, "qcow2: writing qcow2 images is not supported yet; open the image read-only.");
}

Qcow2Driver::Qcow2Driver(const Child& file, Qcow2Image image, View view)
    : file_(file),
      image_(std::move(image)),
      is_snapshot_(view.is_snapshot),
      geometry_(qcow2_geometry(image_.header)),
      mapped_size_(std::min(view.size, view.l1.entries * geometry_.bytes_per_l2_table())),
      table_share_(cache_size(geometry_, view), kLeastShare),
      cache_(file, slice_size(geometry_, table_share_.bytes()),
             cache_capacity(table_share_.bytes(), slice_size(geometry_, table_share_.bytes()))),
      mapper_(geometry_, view.l1, cache_),
      compressed_(geometry_, image_.header.compression) {}

std::vector<ImageSnapshot> Qcow2Driver::snapshots() const {
  std::vector<ImageSnapshot> result;
  result.reserve(image_.snapshot_table.snapshots.size());
  for (const Qcow2Snapshot& snapshot : image_.snapshot_table.snapshots) {
    result.push_back(snapshot.facts);
  }
  return result;
}

nlohmann::json Qcow2Driver::describe() const {
  const Qcow2Header& header = image_.header;
  nlohmann::json data = {
      {"compat", header.version == 2 ? "0.10" : "1.1"},
      {"compression-type", header.compression == Qcow2Compression::kZstd ? "zstd" : "zlib"},
      {"refcount-bits", header.refcount_bits}};
  if (header.version > 2) {
    data["lazy-refcounts"] = (header.compatible_features & kQcow2LazyRefcounts) != 0;
    data["corrupt"] = header.has_incompatible(kQcow2Corrupt);
    data["extended-l2"] = geometry_.extended_l2;
  }
  if (geometry_.external_data) {
    if (!header.data_file_name.empty()) data["data-file"] = header.data_file_name;
    data["data-file-raw"] = (header.autoclear_features & kQcow2DataFileRaw) != 0;
  }
  for (const Qcow2Bitmap& bitmap : image_.bitmaps) {
    nlohmann::json flags = nlohmann::json::array();
    if (bitmap.in_use) flags.push_back("in-use");
    if (bitmap.automatic) flags.push_back("auto");
    data["bitmaps"].push_back({{"name", bitmap.name},
                               {"granularity", uint64_t{1} << bitmap.granularity_bits},
                               {"flags", flags}});
  }
  nlohmann::json facts = {{"format-specific", {{"type", "qcow2"}, {"data", std::move(data)}}},
                          {"cluster-size", geometry_.cluster_size()},
                          {"dirty-flag", header.has_incompatible(kQcow2Dirty)}};
  if (!header.backing_name.empty()) {
    facts["backing-filename"] = header.backing_name;
    if (!header.backing_format.empty()) facts["backing-filename-format"] = header.backing_format;
  }
  return facts;
}

std::vector<std::string> Qcow2Driver::warnings() const {
  std::vector<std::string> texts;
  if (image_.header.has_incompatible(kQcow2Corrupt)) {
    texts.emplace_back(
        "the image is marked corrupt, so that what is read may be wrong; look at it with 'penstock "
        "check'");
  }
  if (const absl::Status& damage = image_.snapshot_table.damage; !damage.ok()) {
    texts.push_back("its snapshots are not shown: " + status_text(damage));
  }
  return texts;
}

absl::StatusOr<Reopened> Qcow2Driver::co_prepare_reopen(const ReopenContext& context) {
  if (!context.options.read_only) return refuse_qcow2_writing();
  return Driver::co_prepare_reopen(context);
}

absl::StatusOr<Mapping> Qcow2Driver::co_map(ByteRange range, MapIntent intent) {
  if (intent == MapIntent::kWrite) {
    return errno_status(EROFS, "qcow2: writing is not supported yet");
  }
  const Node& node = *file_.parent;
  Qcow2Mapper::Edges edges;
  edges.file = &file_;
  edges.data = geometry_.external_data ? node.find_child("data-file") : &file_;
  edges.backing = node.find_child("backing");
  if (edges.data == nullptr) return errno_status(EIO, "qcow2: the data file is not attached");
  if (range.offset >= mapped_size_) {
    // A snapshot that its own table is too short for.
    Mapping mapping;
    mapping.kind = MappingKind::kUnallocated;
    mapping.range = range;
    mapping.child = edges.backing;
    return mapping;
  }
  range.length = std::min(range.length, mapped_size_ - range.offset);
  return mapper_.co_map(edges, range);
}

absl::StatusOr<ImageCheck> Qcow2Driver::co_check() {
  return co_check_qcow2(file_, image_.header, image_.snapshot_table);
}

absl::Status Qcow2Driver::co_read_special(const Mapping& mapping, const IoVector& data) {
  std::vector<Qcow2CompressedPiece> pieces;
  pieces.reserve(data.length() / geometry_.cluster_size() + 2);
  for (uint64_t done = 0; done < data.length();) {
    const uint64_t guest = mapping.range.offset + done;
    const absl::StatusOr<Qcow2L2Entry> entry = mapper_.co_entry(file_, guest);
    if (!entry.ok()) return entry.status();
    if ((entry->descriptor & kQcow2Compressed) == 0) {
      return errno_status(EIO, "qcow2: an L2 table has changed while it was read");
    }
    Qcow2CompressedPiece piece;
    piece.descriptor = entry->descriptor;
    piece.offset_in_cluster = geometry_.offset_in_cluster(guest);
    const uint64_t length =
        std::min(geometry_.cluster_size() - piece.offset_in_cluster, data.length() - done);
    piece.data = data.slice(done, length);
    pieces.push_back(piece);
    done += length;
  }
  return compressed_.co_read(file_, pieces);
}

}  // namespace penstock
