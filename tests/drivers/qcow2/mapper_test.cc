// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <cerrno>
#include <optional>

#include "drivers/qcow2/qcow2_mapper.h"
#include "tests/drivers/qcow2/memory_image.h"

namespace penstock {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kKiB = 1024;
constexpr uint64_t kMiB = 1024 * kKiB;

// Tables written by hand: the L1 table is in cluster 1, and L2 table i is in cluster 2 + i.
class MapperTest : public ::testing::Test {
 protected:
  void make(Qcow2Geometry geometry, uint64_t file_size, uint32_t l1_entries = 8) {
    geometry_ = geometry;
    image_.emplace(file_size);
    edges_ = {&image_->file(), &image_->file(), nullptr};
    l1_ = {geometry.cluster_size(), l1_entries};
  }
  void make(unsigned cluster_bits, uint64_t file_size = 8 * kMiB) {
    make({.cluster_bits = cluster_bits}, file_size);
  }
  uint64_t cluster() const { return geometry_.cluster_size(); }
  uint64_t table_offset(uint64_t table) const { return (2 + table) * cluster(); }

  void set_l1(uint64_t index, uint64_t word) { image_->put(l1_.offset + 8 * index, word); }
  void add_table(uint64_t index) { set_l1(index, table_offset(index) | kQcow2Copied); }
  // The entry of guest cluster `number`.
  void set_entry(uint64_t number, uint64_t descriptor, uint64_t subclusters = 0) {
    const uint64_t guest = number * cluster();
    const uint64_t offset = table_offset(geometry_.l1_index(guest)) +
                            8 * geometry_.words_per_l2_entry() * geometry_.l2_index(guest);
    image_->put(offset, descriptor);
    if (geometry_.extended_l2) image_->put(offset + 8, subclusters);
  }
  void set_data(uint64_t number, uint64_t host_cluster) {
    set_entry(number, host_cluster * cluster() | kQcow2Copied);
  }

  // After the tables are complete.
  void start(size_t slice_size = 0) {
    image_->store();
    const size_t slice = slice_size != 0 ? slice_size : std::min<uint64_t>(cluster(), 4096);
    cache_.emplace(image_->file(), slice, 64 * slice);
    mapper_.emplace(geometry_, l1_, *cache_);
  }
  absl::StatusOr<Mapping> map(uint64_t offset, uint64_t length) {
    absl::StatusOr<Mapping> result = absl::UnknownError("not run");
    run_in(world_, 0, [&] {
      assert_in_coroutine();
      result = image_->in_flight([&] { return in_flight_map({offset, length}); });
    });
    return result;
  }
  // The same when all slices of the tables that are there have been read.
  absl::StatusOr<Mapping> map_cached(uint64_t offset, uint64_t length) {
    for (uint64_t at = 0; at < l1_.entries * geometry_.bytes_per_l2_table();) {
      EXPECT_TRUE(map(at, 1).ok());
      at += cache_->slice_size() / 8 / geometry_.words_per_l2_entry() * cluster();
    }
    return map(offset, length);
  }
  absl::StatusOr<Qcow2L2Entry> entry(uint64_t guest) {
    absl::StatusOr<Qcow2L2Entry> result = absl::UnknownError("not run");
    run_in(world_, 0, [&] {
      assert_in_coroutine();
      result = image_->in_flight([&] { return in_flight_entry(guest); });
    });
    return result;
  }

  void expect_data(const absl::StatusOr<Mapping>& mapping, uint64_t offset, uint64_t host,
                   uint64_t length) {
    ASSERT_TRUE(mapping.ok()) << mapping.status();
    EXPECT_EQ(mapping->kind, MappingKind::kData);
    EXPECT_EQ(mapping->range, (ByteRange{offset, length}));
    EXPECT_EQ(mapping->child, edges_.data);
    EXPECT_EQ(mapping->child_offset, host);
  }
  void expect_kind(const absl::StatusOr<Mapping>& mapping, MappingKind kind, uint64_t offset,
                   uint64_t length) {
    ASSERT_TRUE(mapping.ok()) << mapping.status();
    EXPECT_EQ(mapping->kind, kind);
    EXPECT_EQ(mapping->range, (ByteRange{offset, length}));
    EXPECT_EQ(mapping->child, kind == MappingKind::kUnallocated ? edges_.backing : nullptr);
  }
  // Zeroes for which `host` is kept.
  void expect_kept_zeroes(const absl::StatusOr<Mapping>& mapping, uint64_t offset, uint64_t host,
                          uint64_t length) {
    ASSERT_TRUE(mapping.ok()) << mapping.status();
    EXPECT_EQ(mapping->kind, MappingKind::kZero);
    EXPECT_EQ(mapping->range, (ByteRange{offset, length}));
    EXPECT_EQ(mapping->child, edges_.data);
    EXPECT_EQ(mapping->child_offset, host);
  }
  void expect_damage(const absl::Status& status, const std::string& text) {
    EXPECT_EQ(status_errno(status), EIO);
    EXPECT_THAT(status_text(status), HasSubstr(text));
  }

  Qcow2Geometry geometry_;
  std::optional<MemoryImage> image_;
  Qcow2Mapper::Edges edges_;
  Qcow2Mapper::Table l1_;
  std::optional<Qcow2TableCache> cache_;
  std::optional<Qcow2Mapper> mapper_;
  FakeWorld world_{1, 1};

 private:
  absl::StatusOr<Mapping> in_flight_map(ByteRange range) NO_THREAD_SAFETY_ANALYSIS {
    return mapper_->co_map(edges_, range);
  }
  absl::StatusOr<Qcow2L2Entry> in_flight_entry(uint64_t guest) NO_THREAD_SAFETY_ANALYSIS {
    return mapper_->co_entry(*edges_.file, guest);
  }
};

TEST_F(MapperTest, ClustersThatAdjoinInTheFileAreOneAnswer) {
  make(16);
  add_table(0);
  for (uint64_t i = 0; i < 100; ++i) set_data(i, 20 + i);
  set_data(100, 125);
  start();
  expect_data(map(0, 50 * kMiB), 0, 20 * cluster(), 100 * cluster());
  expect_data(map(5 * cluster() + 123, 4096), 5 * cluster() + 123, 25 * cluster() + 123, 4096);
  expect_data(map(cluster() - 1, 2), cluster() - 1, 21 * cluster() - 1, 2);
  expect_data(map(100 * cluster(), cluster()), 100 * cluster(), 125 * cluster(), cluster());
}

TEST_F(MapperTest, AnAnswerGoesOnIntoCachedSlicesOnly) {
  make(16, 40 * kMiB);
  add_table(0);
  for (uint64_t i = 0; i < 600; ++i) set_data(i, 20 + i);
  start();
  // One slice has 512 entries.
  expect_data(map(0, 600 * cluster()), 0, 20 * cluster(), 512 * cluster());
  EXPECT_EQ(image_->memory().reads.load(), 2u);
  EXPECT_TRUE(map(512 * cluster(), 1).ok());
  expect_data(map(0, 600 * cluster()), 0, 20 * cluster(), 600 * cluster());
}

TEST_F(MapperTest, AnAnswerGoesOnIntoTheNextTable) {
  make(9);
  // 64 entries a table, with the tables of guest clusters 0 to 191.
  for (uint64_t table = 0; table < 3; ++table) add_table(table);
  for (uint64_t i = 0; i < 192; ++i) set_data(i, 100 + i);
  start();
  expect_data(map_cached(7, 192 * 512), 7, 100 * 512 + 7, 192 * 512 - 7);
}

TEST_F(MapperTest, EveryClusterSizeAndSliceSizeMapsAlike) {
  for (unsigned bits = kQcow2MinClusterBits; bits <= kQcow2MaxClusterBits; ++bits) {
    for (const size_t slice : {512, 1024, 4096}) {
      if (slice > (uint64_t{1} << bits)) continue;
      make(bits, uint64_t{4} << bits);
      // The rest of the file is a hole.
      edges_.file->node->set_size(40 * cluster());
      const uint64_t last = (uint64_t{1} << geometry_.l2_bits()) - 1;
      add_table(0);
      add_table(1);
      set_data(0, 20);
      set_data(last, 30);
      set_data(last + 1, 31);
      start(slice);
      SCOPED_TRACE(bits);
      expect_data(map(0, 4 * kMiB), 0, 20 * cluster(), cluster());
      expect_data(map(last * cluster(), 1), last * cluster(), 30 * cluster(), 1);
      expect_data(map((last + 1) * cluster(), 1), (last + 1) * cluster(), 31 * cluster(), 1);
      expect_data(map(last * cluster(), 8 * kMiB), last * cluster(), 30 * cluster(), 2 * cluster());
    }
  }
}

TEST_F(MapperTest, ZeroClustersTellWhereSpaceIsKeptForThem) {
  make(16);
  add_table(0);
  set_entry(0, kQcow2ZeroFlag);
  set_entry(1, kQcow2ZeroFlag);
  set_entry(2, 7 * cluster() | kQcow2Copied | kQcow2ZeroFlag);
  set_entry(3, 8 * cluster() | kQcow2Copied | kQcow2ZeroFlag);
  set_entry(4, 5 * cluster() | kQcow2Copied | kQcow2ZeroFlag);
  set_data(5, 6);
  start();
  expect_kind(map(10, kMiB), MappingKind::kZero, 10, 2 * cluster() - 10);
  expect_kept_zeroes(map(2 * cluster() + 5, kMiB), 2 * cluster() + 5, 7 * cluster() + 5,
                     2 * cluster() - 5);
  expect_kept_zeroes(map(4 * cluster(), kMiB), 4 * cluster(), 5 * cluster(), cluster());
}

TEST_F(MapperTest, WhatHasNoEntryOrNoTableIsTheBackingNodes) {
  make(16);
  add_table(1);
  set_data(8192 + 4, 9);
  edges_.backing = &image_->add("backing", kMiB);
  start();
  const uint64_t table = geometry_.bytes_per_l2_table();
  // The first answer ends where the next table would have to be read.
  expect_kind(map(0, 3 * table), MappingKind::kUnallocated, 0, table);
  expect_kind(map_cached(0, 3 * table), MappingKind::kUnallocated, 0, table + 4 * cluster());
  expect_kind(map(table + 5 * cluster(), 100), MappingKind::kUnallocated, table + 5 * cluster(),
              100);
  // Tables 2 to 7 are absent.
  expect_kind(map(3 * table + 1, 100 * table), MappingKind::kUnallocated, 3 * table + 1,
              5 * table - 1);
}

TEST_F(MapperTest, OneAnswerIsBoundedHoweverLargeTheDiskIs) {
  make({.cluster_bits = 16}, 8 * kMiB, 400'000);
  start();
  // All of the L1 table but its first word reads as zeroes; read it all.
  const uint64_t table = geometry_.bytes_per_l2_table();
  for (uint64_t i = 0; i < 64; ++i) EXPECT_TRUE(map(i * 512 * table, 1).ok());
  const auto mapping = map(0, 400'000 * table);
  ASSERT_TRUE(mapping.ok());
  EXPECT_EQ(mapping->range.length, 16384 * table);
}

TEST_F(MapperTest, RunsOfSubclustersAreMergedAcrossClusters) {
  make({.cluster_bits = 16, .extended_l2 = true}, 4 * kMiB);
  const uint64_t sub = cluster() / 32;
  add_table(0);
  const auto place = [&](uint64_t host) { return host * cluster() | kQcow2Copied; };
  set_entry(0, place(20), 0x00000003'fffffff0);  // 0, 1 zero; 2, 3 nothing; the rest data
  set_entry(1, place(21), 0xfffffff0'0000000f);  // 0 to 3 data; the rest zero
  set_entry(2, 0, 0x00000001'00000000);          // 0 zero; the rest nothing
  start();
  expect_kept_zeroes(map(0, kMiB), 0, 20 * cluster(), 2 * sub);
  expect_kind(map(2 * sub + 1, kMiB), MappingKind::kUnallocated, 2 * sub + 1, 2 * sub - 1);
  expect_data(map(4 * sub + 5, kMiB), 4 * sub + 5, 20 * cluster() + 4 * sub + 5, 32 * sub - 5);
  expect_kept_zeroes(map(36 * sub, kMiB), 36 * sub, 21 * cluster() + 4 * sub, 28 * sub);
  expect_kind(map(64 * sub, kMiB), MappingKind::kZero, 64 * sub, sub);
  expect_kind(map(65 * sub, 2 * sub), MappingKind::kUnallocated, 65 * sub, 2 * sub);
  const auto second = entry(cluster() + 77);
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(second->descriptor, place(21));
  EXPECT_EQ(second->subclusters, 0xfffffff0'0000000f);
}

TEST_F(MapperTest, DamageInTheMiddleEndsTheAnswerBeforeAndFailsAlone) {
  make(16);
  add_table(0);
  for (uint64_t i = 0; i < 8; ++i) set_data(i, 20 + i);
  set_entry(3, 23 * cluster() | 512 | kQcow2Copied);
  set_entry(5, 25 * cluster() | (uint64_t{1} << 60));
  start();
  expect_data(map(0, kMiB), 0, 20 * cluster(), 3 * cluster());
  expect_damage(map(3 * cluster() + 5, 100).status(), "guest offset 196613, L2 entry 0x8000");
  expect_data(map(4 * cluster(), kMiB), 4 * cluster(), 24 * cluster(), cluster());
  expect_damage(map(5 * cluster(), 100).status(), "reserved bits");
  expect_data(map(6 * cluster(), kMiB), 6 * cluster(), 26 * cluster(), 2 * cluster());
}

TEST_F(MapperTest, DamagedL1EntriesFailTheirRangeAlone) {
  make(16);
  const uint64_t table = geometry_.bytes_per_l2_table();
  set_l1(1, table_offset(1) | 512);
  set_l1(2, table_offset(2) | (uint64_t{1} << 56));
  set_l1(3, table_offset(3) | 1);
  set_l1(4, 8 * kMiB);
  set_l1(5, kQcow2OffsetMask & ~uint64_t{0xffff});
  set_l1(6, kQcow2Copied);
  start();
  expect_kind(map(0, 8 * table), MappingKind::kUnallocated, 0, table);
  expect_damage(map(table + 9, 1).status(), "not aligned");
  expect_damage(map(2 * table, 1).status(), "reserved bits");
  expect_damage(map(3 * table, 1).status(), "L1 entry 0x0000000000050001: reserved bits");
  expect_damage(map(4 * table, 1).status(), "past the end of the file");
  expect_damage(map(5 * table, 1).status(), "past the end of the file");
  expect_kind(map(6 * table, 2 * table), MappingKind::kUnallocated, 6 * table, 2 * table);
  expect_damage(map(8 * table, 1).status(), "past the L1 table");
  expect_damage(entry(table).status(), "not aligned");
  EXPECT_EQ(entry(0)->descriptor, 0u);
}

TEST_F(MapperTest, AnL1EntryThatNamesTheL1TableOrItselfDoesNotLoop) {
  make(16);
  set_l1(0, l1_.offset | kQcow2Copied);
  start();
  // The L1 entry, taken for an L2 entry, is a cluster of data.
  expect_data(map(0, kMiB), 0, l1_.offset, cluster());
}

TEST_F(MapperTest, TheFileMayEndInsideItsLastCluster) {
  make(16, 30 * 65536 + 1000);
  add_table(0);
  set_data(0, 29);
  set_data(1, 30);
  set_entry(2, kQcow2ZeroFlag);
  set_data(3, 31);
  start();
  expect_data(map(0, kMiB), 0, 29 * cluster(), cluster() + 1000);
  expect_kind(map(cluster() + 1000, kMiB), MappingKind::kZero, cluster() + 1000,
              2 * cluster() - 1000);
  expect_kind(map(2 * cluster() - 1, 1), MappingKind::kZero, 2 * cluster() - 1, 1);
  expect_damage(map(3 * cluster(), 1).status(), "the data is past the end of its file");
}

TEST_F(MapperTest, DataThatBeginsWhereTheFileEndsIsDamage) {
  make(16, 30 * 65536);
  add_table(0);
  set_data(0, 29);
  set_data(1, 30);
  start();
  expect_data(map(0, kMiB), 0, 29 * cluster(), cluster());
  expect_damage(map(cluster(), 1).status(), "the data is past the end of its file");
}

TEST_F(MapperTest, DataOfAnExternalFileIsThereAndBoundedByIt) {
  make({.cluster_bits = 16, .external_data = true}, kMiB);
  edges_.data = &image_->add("data-file", 10 * kMiB);
  add_table(0);
  for (uint64_t i = 0; i < 200; ++i) set_data(i, i);
  start();
  expect_data(map(0, 20 * kMiB), 0, 0, 10 * kMiB);
  expect_damage(map(10 * kMiB, 1).status(), "the data is past the end of its file");
}

TEST_F(MapperTest, DataElsewhereInAnExternalFileThanInTheDiskIsDamage) {
  make({.cluster_bits = 16, .external_data = true}, kMiB);
  edges_.data = &image_->add("data-file", 10 * kMiB);
  add_table(0);
  set_data(0, 0);
  set_data(1, 2);
  start();
  expect_data(map(0, kMiB), 0, 0, cluster());
  expect_damage(map(cluster(), 1).status(), "not at its guest offset");
}

TEST_F(MapperTest, CompressedClustersAreAnsweredTogetherUpToALimit) {
  for (const auto& [bits, most] : {std::pair<unsigned, uint64_t>{9, 2048}, {12, 256}, {16, 64}}) {
    make({.cluster_bits = bits}, 8 * kMiB, 64);
    const uint64_t entries = uint64_t{1} << geometry_.l2_bits();
    for (uint64_t i = 0; i < most + 50; ++i) {
      if (i % entries == 0) add_table(i / entries);
      set_entry(i, kQcow2Compressed | (2 * kMiB + 300 * i));
    }
    start(512);
    SCOPED_TRACE(bits);
    expect_kind(map_cached(5, 8 * kMiB), MappingKind::kSpecial, 5, most * cluster() - 5);
    expect_kind(map(cluster() - 1, 2), MappingKind::kSpecial, cluster() - 1, 2);
  }
}

TEST_F(MapperTest, CompressedDataPastTheEndOfTheFileIsDamage) {
  make(16, kMiB);
  add_table(0);
  set_entry(0, kQcow2Compressed | (kMiB - 1));
  set_entry(1, kQcow2Compressed | kMiB);
  start();
  expect_kind(map(0, kMiB), MappingKind::kSpecial, 0, cluster());
  expect_damage(map(cluster(), 1).status(), "the compressed data is past the end");
}

TEST_F(MapperTest, ATableThatCannotBeReadNamesTheGuestOffsetAndIsTriedAgain) {
  make(16);
  add_table(0);
  set_data(0, 20);
  start();
  image_->memory().before_read = [this](ByteRange range) {
    return range.offset == table_offset(0) ? errno_status(ENOLINK, "the disk") : absl::OkStatus();
  };
  const auto failed = map(77, 1);
  EXPECT_EQ(status_errno(failed.status()), ENOLINK);
  EXPECT_THAT(status_text(failed.status()), HasSubstr("L2 entry of guest offset 77"));
  image_->memory().before_read = nullptr;
  expect_data(map(77, 1), 77, 20 * cluster() + 77, 1);
}

// Random tables against the entries one by one.
TEST_F(MapperTest, AnswersOverRandomTablesAgreeWithTheirEntries) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 16; ++round) {
    const bool extended = round % 2 != 0;
    make({.cluster_bits = extended ? 14U : 9U + round % 4, .extended_l2 = extended}, 4 * kMiB, 4);
    const uint64_t clusters = 3 * (geometry_.bytes_per_l2_table() / cluster());
    for (uint64_t table = 0; table < 3; ++table) add_table(table);
    uint64_t host = 20;
    for (uint64_t i = 0; i < clusters; ++i) {
      const uint64_t choice = random() % 16;
      if (choice < 10) {
        host = choice == 0 ? 10 + random() % 100 : host + 1;
        const uint64_t subclusters = choice < 6 ? 0xffffffff : random() & random() & 0xffffffff;
        set_entry(i, host * cluster() | kQcow2Copied, subclusters);
      } else if (choice < 14) {
        set_entry(i, extended ? 0 : kQcow2ZeroFlag, random() << 32);
      }
    }
    start(512);
    ASSERT_TRUE(map_cached(0, 1).ok());
    for (uint64_t at = 0; at < clusters * cluster();) {
      const auto mapping = map(at, clusters * cluster() - at);
      ASSERT_TRUE(mapping.ok()) << mapping.status();
      ASSERT_GT(mapping->range.length, 0u);
      Qcow2L2Entry one;
      for (uint64_t guest = at; guest < mapping->range.end();) {
        if (guest == at || geometry_.offset_in_cluster(guest) == 0) one = *entry(guest);
        const auto extent = qcow2_extent(geometry_, one, geometry_.offset_in_cluster(guest));
        ASSERT_TRUE(extent.ok());
        if (extent->kind == Qcow2ExtentKind::kData) {
          ASSERT_EQ(mapping->kind, MappingKind::kData);
          ASSERT_EQ(mapping->child_offset + (guest - at), extent->host_offset);
        } else {
          ASSERT_EQ(mapping->kind, extent->kind == Qcow2ExtentKind::kZero
                                       ? MappingKind::kZero
                                       : MappingKind::kUnallocated);
        }
        guest += extent->length;
      }
      at = mapping->range.end();
    }
  }
}

}  // namespace
}  // namespace penstock
