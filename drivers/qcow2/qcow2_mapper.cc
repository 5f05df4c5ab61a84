// SPDX-License-Identifier: Apache-2.0
#include "drivers/qcow2/qcow2_mapper.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <span>
#include <string>

#include "base/status.h"
#include "block/node/node.h"

namespace penstock {
namespace {

// L2 words that are taken out of the cache at once.
constexpr size_t kBatchWords = 32;

// Entries that one answer goes through at most: looking at a whole disk must not keep the thread
// from other requests. No read of usual length comes near it.
constexpr unsigned kMaxEntries = 16384;

// Compressed clusters of one answer: they are in memory at the same time.
constexpr uint64_t kMaxCompressedClusters = 64;
constexpr uint64_t kMaxCompressedBytes = uint64_t{1} << 20;

[[gnu::cold, gnu::noinline]] std::string place_name(uint64_t guest, const char* table,
                                                    uint64_t word) {
  std::array<char, 80> text;
  std::snprintf(text.data(), text.size(), "guest offset %llu, %s entry 0x%016llx",
                static_cast<unsigned long long>(guest), table,
                static_cast<unsigned long long>(word));
  return text.data();
}

[[gnu::cold, gnu::noinline]] absl::Status damaged(uint64_t guest, const char* table, uint64_t word,
                                                  const std::string& why) {
  return errno_message(EIO, place_name(guest, table, word) + ": " + why +
                                "; 'penstock check' lists what is damaged");
}

[[gnu::cold, gnu::noinline]] absl::Status unreadable(const absl::Status& status, const char* table,
                                                     uint64_t guest) {
  return annotate(status, std::string(table) + " entry of guest offset " + std::to_string(guest));
}

// Where the L1 word of `guest` is, in bytes of the file.
absl::StatusOr<uint64_t> l1_word_offset(const Qcow2Geometry& geometry, Qcow2Mapper::Table l1,
                                        uint64_t guest) {
  const uint64_t index = geometry.l1_index(guest);
  if (index < l1.entries) [[likely]]
    return l1.offset + index * sizeof(uint64_t);
  return errno_message(EIO, "guest offset " + std::to_string(guest) +
                                " is past the L1 table, which has " + std::to_string(l1.entries) +
                                " entries");
}

// The L2 table's offset (bytes) in an L1 word; 0: there is none. Since offsets are multiples of a
// cluster, no table is in the header's.
absl::StatusOr<uint64_t> l2_table_offset(const Qcow2Geometry& geometry, const Child& file,
                                         uint64_t guest, uint64_t word) {
  if ((word & kQcow2L1Reserved) != 0) [[unlikely]] {
    return damaged(guest, "L1", word, "reserved bits are set");
  }
  const uint64_t offset = word & kQcow2OffsetMask;
  if (!is_aligned(offset, geometry.cluster_size())) [[unlikely]] {
    return damaged(guest, "L1", word, "the L2 table is not aligned to a cluster");
  }
  if (offset >= file.node->size() && offset != 0) [[unlikely]] {
    return damaged(guest, "L1", word, "the L2 table is past the end of the file");
  }
  return offset;
}

uint64_t l2_word_offset(const Qcow2Geometry& geometry, uint64_t table, uint64_t guest) {
  return table + geometry.l2_index(guest) * geometry.words_per_l2_entry() * sizeof(uint64_t);
}

// One answer on its way: it goes from extent to extent as long as they continue the first. Only the
// first may wait for the file.
class MappingWalk {
 public:
  MappingWalk(const Qcow2Geometry& geometry, Qcow2Mapper::Table l1, Qcow2TableCache& cache,
              const Qcow2Mapper::Edges& edges, ByteRange range)
      : geometry_(geometry),
        l1_(l1),
        cache_(cache),
        edges_(edges),
        data_size_(edges.data->node->size()),
        end_(range.end()),
        guest_(range.offset) {}

  absl::StatusOr<Mapping> co_run() IO_CODE {
    if (auto status = co_fetch(); !status.ok()) return status;
    const auto first = look();
    if (!first.ok()) return first.status();
    const uint64_t begin = guest_;
    if (first->kind == MappingKind::kSpecial) limit_compressed();
    guest_ += first->length;
    for (unsigned entries = 1; guest_ < end_ && entries < kMaxEntries && try_fetch(); ++entries) {
      const auto next = look();
      if (!next.ok() || next->kind != first->kind) break;
      if (next->host != expected_host(*first, guest_ - begin)) break;
      guest_ += next->length;
    }
    Mapping mapping{.kind = first->kind, .range = {begin, std::min(guest_, end_) - begin}};
    if (first->kind == MappingKind::kData) {
      mapping.child = edges_.data;
      mapping.child_offset = first->host;
    } else if (first->kind == MappingKind::kZero && first->host != 0) {
      mapping.child = edges_.data;
      mapping.child_offset = first->host;
    } else if (first->kind == MappingKind::kUnallocated) {
      mapping.child = edges_.backing;
    }
    return mapping;
  }

 private:
  struct Piece {
    MappingKind kind;
    uint64_t host = 0;  // bytes; kData, and kZero where space is kept for it
    uint64_t length;    // bytes from guest_ on, perhaps past end_
  };

  // Where a piece that continues `first` is, `distance` bytes on.
  static uint64_t expected_host(const Piece& first, uint64_t distance) {
    const bool moves = first.kind == MappingKind::kData || first.host != 0;
    return moves ? first.host + distance : 0;
  }

  // Makes the table and the entry of guest_ known.
  absl::Status co_fetch() IO_CODE {
    const auto word_offset = l1_word_offset(geometry_, l1_, guest_);
    if (!word_offset.ok()) return word_offset.status();
    uint64_t word = 0;
    if (auto status = cache_.co_read(*word_offset, {&word, 1}); !status.ok()) [[unlikely]] {
      return unreadable(status, "L1", guest_);
    }
    if (auto status = enter_table(word); !status.ok()) [[unlikely]]
      return status;
    if (table_ == 0) return absl::OkStatus();
    begin_batch();
    auto status = cache_.co_read(l2_word_offset(geometry_, table_, guest_), batch_words());
    if (!status.ok()) [[unlikely]]
      return unreadable(status, "L2", guest_);
    return status;
  }

  // The same without waiting; false if that cannot be, or the L1 entry is damaged.
  bool try_fetch() {
    if (guest_ >= table_end_) {
      const auto word_offset = l1_word_offset(geometry_, l1_, guest_);
      uint64_t word = 0;
      if (!word_offset.ok() || !cache_.try_read(*word_offset, {&word, 1})) return false;
      if (!enter_table(word).ok()) return false;
    } else if (table_ == 0 || guest_ < batch_end_) {
      return true;
    }
    if (table_ == 0) return true;
    begin_batch();
    return cache_.try_read(l2_word_offset(geometry_, table_, guest_), batch_words());
  }

  absl::Status enter_table(uint64_t l1_word) {
    const auto table = l2_table_offset(geometry_, *edges_.file, guest_, l1_word);
    if (!table.ok()) return table.status();
    table_ = *table;
    table_end_ =
        align_down(guest_, geometry_.bytes_per_l2_table()) + geometry_.bytes_per_l2_table();
    batch_end_ = 0;
    return absl::OkStatus();
  }

  // From the entry of guest_ on: no more than the range wants, and than one slice has.
  void begin_batch() {
    const unsigned words_per_entry = geometry_.words_per_l2_entry();
    const uint64_t offset = l2_word_offset(geometry_, table_, guest_);
    const uint64_t in_slice = cache_.slice_size() - (offset & (cache_.slice_size() - 1));
    batch_begin_ = align_down(guest_, geometry_.cluster_size());
    const uint64_t last = std::min(end_, table_end_) - 1;
    batch_entries_ = std::min({((last - batch_begin_) >> geometry_.cluster_bits) + 1,
                               in_slice / (sizeof(uint64_t) * words_per_entry),
                               uint64_t{kBatchWords / words_per_entry}});
    batch_end_ = batch_begin_ + (batch_entries_ << geometry_.cluster_bits);
  }

  std::span<uint64_t> batch_words() {
    return {batch_.data(), batch_entries_ * geometry_.words_per_l2_entry()};
  }

  // What is at guest_. REQUIRES: it was fetched.
  absl::StatusOr<Piece> look() const {
    if (table_ == 0) {
      return Piece{.kind = MappingKind::kUnallocated, .length = table_end_ - guest_};
    }
    const uint64_t* const words =
        batch_.data() +
        ((guest_ - batch_begin_) >> geometry_.cluster_bits) * geometry_.words_per_l2_entry();
    const Qcow2L2Entry entry{words[0], geometry_.extended_l2 ? words[1] : 0};
    const auto extent = qcow2_extent(geometry_, entry, geometry_.offset_in_cluster(guest_));
    if (!extent.ok()) [[unlikely]] {
      return damaged(guest_, "L2", entry.descriptor, status_text(extent.status()));
    }
    switch (extent->kind) {
      case Qcow2ExtentKind::kUnallocated:
        return Piece{.kind = MappingKind::kUnallocated, .length = extent->length};
      case Qcow2ExtentKind::kZero:
        return Piece{MappingKind::kZero, extent->host_offset, extent->length};
      case Qcow2ExtentKind::kData:
        return look_at_data(*extent, entry.descriptor);
      case Qcow2ExtentKind::kCompressed:
        return look_at_compressed(*extent, entry.descriptor);
    }
    return damaged(guest_, "L2", entry.descriptor, "an unknown kind of extent");
  }

  // A file may end inside its last cluster; the rest of that is zero.
  absl::StatusOr<Piece> look_at_data(const Qcow2Extent& extent, uint64_t descriptor) const {
    if (geometry_.external_data && extent.host_offset != guest_) [[unlikely]] {
      return damaged(guest_, "L2", descriptor,
                     "data in an external data file is not at its guest offset");
    }
    if (extent.host_offset + extent.length <= data_size_) [[likely]] {
      return Piece{MappingKind::kData, extent.host_offset, extent.length};
    }
    if (extent.host_offset - geometry_.offset_in_cluster(guest_) >= data_size_) {
      return damaged(guest_, "L2", descriptor, "the data is past the end of its file");
    }
    if (extent.host_offset >= data_size_) {
      return Piece{.kind = MappingKind::kZero, .length = extent.length};
    }
    return Piece{MappingKind::kData, extent.host_offset, data_size_ - extent.host_offset};
  }

  absl::StatusOr<Piece> look_at_compressed(const Qcow2Extent& extent, uint64_t descriptor) const {
    if (qcow2_compressed_range(geometry_, descriptor).offset >= edges_.file->node->size()) {
      return damaged(guest_, "L2", descriptor, "the compressed data is past the end of the file");
    }
    return Piece{.kind = MappingKind::kSpecial, .length = extent.length};
  }

  void limit_compressed() {
    const uint64_t longest =
        std::max(kMaxCompressedClusters << geometry_.cluster_bits, kMaxCompressedBytes);
    end_ = std::min(end_, align_down(guest_, geometry_.cluster_size()) + longest);
  }

  const Qcow2Geometry& geometry_;
  const Qcow2Mapper::Table l1_;
  Qcow2TableCache& cache_;
  const Qcow2Mapper::Edges& edges_;
  const uint64_t data_size_;
  uint64_t end_;    // guest bytes, like all below
  uint64_t guest_;  // up to here the answer is known

  uint64_t table_ = 0;      // the L2 table's offset in the file; 0: none
  uint64_t table_end_ = 0;  // where what it maps ends
  uint64_t batch_begin_ = 0;
  uint64_t batch_end_ = 0;
  uint64_t batch_entries_ = 0;
  std::array<uint64_t, kBatchWords> batch_;
};

}  // namespace

absl::StatusOr<Mapping> Qcow2Mapper::co_map(const Edges& edges, ByteRange range) {
  return MappingWalk(geometry_, l1_, cache_, edges, range).co_run();
}

absl::StatusOr<Qcow2L2Entry> Qcow2Mapper::co_entry(const Child& file, uint64_t guest) {
  const auto word_offset = l1_word_offset(geometry_, l1_, guest);
  if (!word_offset.ok()) return word_offset.status();
  uint64_t l1_word = 0;
  if (auto status = cache_.co_read(*word_offset, {&l1_word, 1}); !status.ok()) {
    return unreadable(status, "L1", guest);
  }
  const auto table = l2_table_offset(geometry_, file, guest, l1_word);
  if (!table.ok()) return table.status();
  if (*table == 0) return Qcow2L2Entry{};
  std::array<uint64_t, 2> words{};
  auto status = cache_.co_read(l2_word_offset(geometry_, *table, guest),
                               {words.data(), geometry_.words_per_l2_entry()});
  if (!status.ok()) return unreadable(status, "L2", guest);
  return Qcow2L2Entry{words[0], words[1]};
}

}  // namespace penstock
