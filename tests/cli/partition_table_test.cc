// SPDX-License-Identifier: Apache-2.0
#include "control/partition_table.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <random>
#include <set>

#include "base/status.h"
#include "base/unique_fd.h"

namespace penstock {
namespace {

constexpr uint64_t kMib = 1 << 20;
constexpr size_t kSector = 512;

PartitionTable table_of(std::vector<Partition> partitions) {
  PartitionTable table;
  table.type = "gpt";
  table.sector_size = 512;
  table.partitions = std::move(partitions);
  return table;
}

Partition partition_at(unsigned number, uint64_t offset, uint64_t length) {
  Partition partition;
  partition.number = number;
  partition.offset = offset;
  partition.length = length;
  return partition;
}

// An MBR as firmware sees it: four entries, counted in sectors.
class MbrDisk {
 public:
  explicit MbrDisk(uint64_t sectors) : fd_(::memfd_create("disk", MFD_CLOEXEC)) {
    EXPECT_EQ(::ftruncate(fd_.get(), static_cast<off_t>(sectors * kSector)), 0);
    sign(0);
  }
  void sign(uint64_t sector) { write(sector * kSector + 510, {0x55, 0xaa}); }
  void add(uint64_t sector, unsigned entry, uint8_t type, uint32_t start, uint32_t count) {
    std::vector<uint8_t> bytes(16);
    bytes[4] = type;
    for (unsigned i = 0; i < 4; ++i) {
      bytes[8 + i] = static_cast<uint8_t>(start >> (8 * i));
      bytes[12 + i] = static_cast<uint8_t>(count >> (8 * i));
    }
    write(sector * kSector + 446 + entry * 16, bytes);
  }
  void write(uint64_t offset, const std::vector<uint8_t>& bytes) {
    EXPECT_EQ(::pwrite(fd_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset)),
              static_cast<ssize_t>(bytes.size()));
  }
  PartitionTable probe(uint32_t sector_size = 0) {
    absl::StatusOr<PartitionTable> table = probe_partitions(fd_.get(), sector_size);
    EXPECT_TRUE(table.ok()) << table.status();
    return table.ok() ? *table : PartitionTable();
  }

 private:
  UniqueFd fd_;
};

TEST(PartitionTableJson, AnyBytesPassUnchanged) {
  std::string all_bytes;
  for (int byte = 0; byte < 256; ++byte) all_bytes += static_cast<char>(byte);
  PartitionTable table = table_of({partition_at(1, 0, kMib), partition_at(7, 3 * kMib, 1)});
  table.partitions[0].content = {"ext4", "filesystem", all_bytes, "a-b"};
  table.partitions[1].type = "0x83";
  table.partitions[1].name = "\\x41 \xff";
  table.partitions[1].uuid = "c-d";
  table.content.label = "whole";

  const std::string text = partition_table_to_json(table).dump();
  const auto read = partition_table_from_json(nlohmann::json::parse(text));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->type, "gpt");
  EXPECT_EQ(read->sector_size, 512u);
  EXPECT_EQ(read->content.label, "whole");
  ASSERT_EQ(read->partitions.size(), 2u);
  EXPECT_EQ(read->partitions[0].content.label, all_bytes);
  EXPECT_EQ(read->partitions[0].content.usage, "filesystem");
  EXPECT_EQ(read->partitions[1].number, 7u);
  EXPECT_EQ(read->partitions[1].offset, 3 * kMib);
  EXPECT_EQ(read->partitions[1].length, 1u);
  EXPECT_EQ(read->partitions[1].name, "\\x41 \xff");
}

TEST(PartitionTableJson, WhatIsNoTableIsRefused) {
  const nlohmann::json good = partition_table_to_json(table_of({partition_at(1, 0, kMib)}));
  ASSERT_TRUE(partition_table_from_json(good).ok());
  std::vector<nlohmann::json> bad = {nullptr, 3, "x", nlohmann::json::array(),
                                     nlohmann::json::object()};
  const auto change = [&](const char* pointer, const nlohmann::json& value) {
    bad.push_back(good);
    bad.back()[nlohmann::json::json_pointer(pointer)] = value;
  };
  change("/type", 1);
  change("/type", "\\");
  change("/type", "\\x4");
  change("/type", "\\xgg");
  change("/sector-size", -1);
  change("/partitions", "none");
  change("/partitions/0", 5);
  change("/partitions/0/number", 0);
  change("/partitions/0/number", uint64_t{1} << 40);
  change("/partitions/0/offset", -1);
  change("/partitions/0/offset", 1.5);
  change("/partitions/0/length", UINT64_MAX);
  bad.back()["partitions"][0]["offset"] = 2;
  change("/partitions/0/content", nullptr);
  change("/content/label", nullptr);
  for (const nlohmann::json& json : bad) {
    EXPECT_EQ(status_errno(partition_table_from_json(json).status()), EINVAL) << json;
  }
}

TEST(ConfinePartitions, NothingIsOutsideTheDisk) {
  PartitionTable table =
      table_of({partition_at(1, 0, kMib), partition_at(2, 9 * kMib, 2 * kMib),
                partition_at(3, 10 * kMib, 1), partition_at(4, UINT64_MAX, 1),
                partition_at(1, kMib, kMib), partition_at(5, kMib, 0), partition_at(0, 0, 1)});
  confine_partitions(table, 10 * kMib);
  ASSERT_EQ(table.partitions.size(), 2u);
  EXPECT_EQ(table.partitions[0].length, kMib);
  EXPECT_EQ(table.partitions[1].number, 2u);
  EXPECT_EQ(table.partitions[1].length, kMib);
}

TEST(ProbePartitions, ADiskWithoutTableHasNone) {
  MbrDisk disk(2048);
  disk.write(510, {0, 0});
  EXPECT_EQ(disk.probe().type, "");
  EXPECT_TRUE(disk.probe().partitions.empty());
}

TEST(ProbePartitions, AnEmptyFileHasNone) {
  EXPECT_TRUE(MbrDisk(1).probe().partitions.empty());
  const UniqueFd empty(::memfd_create("empty", MFD_CLOEXEC));
  const auto table = probe_partitions(empty.get(), 0);
  ASSERT_TRUE(table.ok()) << table.status();
  EXPECT_EQ(table->type, "");
}

TEST(ProbePartitions, EntriesPastTheEndAreLeftOutOrCut) {
  MbrDisk disk(4096);
  disk.add(0, 0, 0x83, 2048, 1024);
  disk.add(0, 1, 0x83, 3072, 1 << 30);
  disk.add(0, 2, 0x83, 4096, 8);
  disk.add(0, 3, 0x83, 0xfffffff0, 0xffffffff);
  const PartitionTable table = disk.probe();
  EXPECT_EQ(table.type, "dos");
  ASSERT_EQ(table.partitions.size(), 2u);
  EXPECT_EQ(table.partitions[0].offset, 2048 * kSector);
  EXPECT_EQ(table.partitions[0].type, "0x83");
  EXPECT_EQ(table.partitions[1].offset, 3072 * kSector);
  EXPECT_EQ(table.partitions[1].length, 1024 * kSector);
}

TEST(ProbePartitions, AnMbrIsReadWithTheSectorSizeThatIsAskedFor) {
  MbrDisk disk(1 << 16);
  disk.add(0, 0, 0x83, 256, 256);
  ASSERT_EQ(disk.probe(4096).partitions.size(), 1u);
  EXPECT_EQ(disk.probe(4096).partitions[0].offset, kMib);
  EXPECT_EQ(disk.probe().partitions[0].offset, 256 * kSector);
}

TEST(ProbePartitions, ALoopOfLogicalPartitionsEnds) {
  MbrDisk disk(8192);
  disk.add(0, 0, 0x05, 2048, 4096);
  disk.sign(2048);
  disk.add(2048, 0, 0x83, 8, 8);
  disk.add(2048, 1, 0x05, 0, 4096);  // itself
  const PartitionTable table = disk.probe();
  EXPECT_LT(table.partitions.size(), 200u);
  for (const Partition& partition : table.partitions) EXPECT_GE(partition.number, 5u);
}

TEST(ProbePartitions, RandomTablesKeepTheInvariants) {
  constexpr uint64_t kSectors = 4096;
  std::mt19937 random(20);
  for (int round = 0; round < 300; ++round) {
    MbrDisk disk(kSectors);
    for (const uint64_t sector : {0, 1, 64, 128}) {
      disk.sign(sector);
      for (unsigned entry = 0; entry < 4; ++entry) {
        static constexpr uint8_t kTypes[] = {0x83, 0x05, 0x0f, 0x85, 0xee, 0xa5, 0x81, 0};
        static constexpr uint32_t kPlaces[] = {0, 1, 64, 128, 2048, 4095, 4096, 0xffffffff};
        disk.add(sector, entry, kTypes[random() % 8], kPlaces[random() % 8], kPlaces[random() % 8]);
      }
    }
    std::set<unsigned> numbers;
    for (const Partition& partition : disk.probe().partitions) {
      EXPECT_TRUE(numbers.insert(partition.number).second);
      EXPECT_GT(partition.length, 0u);
      EXPECT_LE(partition.offset, kSectors * kSector);
      EXPECT_LE(partition.length, kSectors * kSector - partition.offset);
    }
  }
}

}  // namespace
}  // namespace penstock
