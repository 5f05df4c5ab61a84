// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cerrno>
#include <random>

#include "base/status.h"
#include "drivers/qcow2/qcow2_format.h"
#include "drivers/qcow2/qcow2_snapshot_choice.h"
#include "drivers/qcow2/qcow2_snapshot_table.h"
#include "iothreads/run_sync.h"
#include "tests/drivers/driver_world.h"
#include "tests/drivers/test_files.h"

namespace penstock {
namespace {

constexpr uint64_t kTableOffset = 65536;

class TableBytes {
 public:
  TableBytes& entry(const std::string& id, const std::string& name, unsigned extra_size,
                    uint64_t disk_size = 5000) {
    bytes_.resize((bytes_.size() + 7) / 8 * 8);
    number(3 * 65536, 8).number(2, 4).number(id.size(), 2).number(name.size(), 2);
    number(1'600'000'000, 4).number(123, 4).number(456, 8).number(99, 4).number(extra_size, 4);
    const size_t extra = bytes_.size();
    number(1000, 8).number(disk_size, 8);
    bytes_.resize(extra + extra_size);
    text(id).text(name);
    return *this;
  }
  std::vector<std::byte>& bytes() { return bytes_; }

 private:
  TableBytes& number(uint64_t value, size_t size) {
    while (size-- > 0) bytes_.push_back(static_cast<std::byte>(value >> (8 * size)));
    return *this;
  }
  TableBytes& text(const std::string& value) {
    for (const char c : value) bytes_.push_back(static_cast<std::byte>(c));
    return *this;
  }
  std::vector<std::byte> bytes_;
};

Qcow2Header header_with(uint32_t count) {
  Qcow2Header header;
  header.version = 3;
  header.cluster_bits = 16;
  header.size = 7000;
  header.snapshot_count = count;
  header.snapshots_offset = kTableOffset;
  return header;
}

class Qcow2SnapshotTableTest : public testing::Test {
 protected:
  absl::StatusOr<Qcow2SnapshotTable> read(const std::vector<std::byte>& table, uint32_t count) {
    const TestFile file("/dev/shm", kTableOffset + table.size());
    file.write(kTableOffset, table);
    Backend& backend = world_.serve({{"driver", "file"}, {"filename", file.path()}}, kReader);
    auto result = run_sync(world_.context(0), [&]() -> absl::StatusOr<Qcow2SnapshotTable> {
      assert_in_coroutine();
      BackendRequest request(backend, "read", 0, 0);
      if (!request.status().ok()) return request.status();
      return co_read_qcow2_snapshots(request.root(), header_with(count));
    });
    world_.detach(backend);
    return result;
  }

  DriverWorld world_;
};

TEST_F(Qcow2SnapshotTableTest, ReadsEveryField) {
  const auto table = read(TableBytes().entry("1", "first", 16).entry("2", "second", 24).bytes(), 2);
  ASSERT_TRUE(table.ok()) << table.status();
  ASSERT_EQ(table->snapshots.size(), 2u);
  const Qcow2Snapshot& second = table->snapshots[1];
  EXPECT_EQ(second.facts.id, "2");
  EXPECT_EQ(second.facts.name, "second");
  EXPECT_EQ(second.facts.disk_size, 5000u);
  EXPECT_EQ(second.facts.vm_state_size, 1000u);
  EXPECT_EQ(second.facts.date_seconds, 1'600'000'000u);
  EXPECT_EQ(second.facts.date_nanoseconds, 123u);
  EXPECT_EQ(second.facts.vm_clock_nanoseconds, 456u);
  EXPECT_EQ(second.l1_offset, 3u * 65536);
  EXPECT_EQ(second.l1_entries, 2u);
  EXPECT_EQ(table->size, 64u + 40 + 24 + 7);
}

TEST_F(Qcow2SnapshotTableTest, TakesTheHeadersSizeWhereAnOldEntrySaysNone) {
  const auto table = read(TableBytes().entry("1", "a", 8).entry("2", "b", 0).bytes(), 2);
  ASSERT_TRUE(table.ok()) << table.status();
  EXPECT_EQ(table->snapshots[0].facts.disk_size, 7000u);
  EXPECT_EQ(table->snapshots[0].facts.vm_state_size, 1000u);
  EXPECT_EQ(table->snapshots[1].facts.vm_state_size, 99u);
}

TEST_F(Qcow2SnapshotTableTest, GoesOnPastItsBuffer) {
  TableBytes bytes;
  for (unsigned i = 0; i < 3000; ++i) bytes.entry(std::to_string(i), std::string(i % 90, 'n'), 16);
  bytes.entry("long", std::string(65535, 'x'), 70'000);
  const auto table = read(bytes.bytes(), 3001);
  ASSERT_TRUE(table.ok()) << table.status();
  EXPECT_EQ(table->snapshots[2999].facts.id, "2999");
  // As QEMU's tools show it.
  EXPECT_EQ(table->snapshots[3000].facts.name, std::string(255, 'x'));
}

TEST_F(Qcow2SnapshotTableTest, FailsWhereTheFileEndsBeforeTheTable) {
  auto bytes = TableBytes().entry("1", "first", 16).bytes();
  EXPECT_EQ(status_errno(read(bytes, 2).status()), EIO);
  bytes.pop_back();
  EXPECT_EQ(status_errno(read(bytes, 1).status()), EIO);
}

TEST_F(Qcow2SnapshotTableTest, RefusesATableThatIsTooLarge) {
  auto bytes = TableBytes().entry("1", "first", 16).bytes();
  for (size_t i = 36; i < 40; ++i) bytes[i] = std::byte{0xff};
  EXPECT_EQ(status_errno(read(bytes, 1).status()), EFBIG);
}

TEST_F(Qcow2SnapshotTableTest, AlwaysAnswersWhateverTheBytes) {
  std::mt19937_64 random(5);
  for (unsigned round = 0; round < 300; ++round) {
    TableBytes bytes;
    for (unsigned i = 0; i < 5; ++i) bytes.entry(std::to_string(i), "name", 16);
    for (unsigned i = 0; i < 3; ++i) {
      bytes.bytes()[random() % bytes.bytes().size()] = static_cast<std::byte>(random());
    }
    const auto table = read(bytes.bytes(), 5);
    if (table.ok()) {
      EXPECT_EQ(table->snapshots.size(), 5u);
    } else {
      EXPECT_NE(status_errno(table.status()), 0);
    }
  }
}

TEST_F(Qcow2SnapshotTableTest, KeepsFewBytesOfHostileNames) {
  TableBytes bytes;
  for (unsigned i = 0; i < 100; ++i)
    bytes.entry(std::string(65535, 'i'), std::string(65535, 'n'), 16);
  const auto table = read(bytes.bytes(), 100);
  ASSERT_TRUE(table.ok()) << table.status();
  size_t kept = 0;
  for (const Qcow2Snapshot& snapshot : table->snapshots) {
    kept += snapshot.facts.id.capacity() + snapshot.facts.name.capacity();
  }
  EXPECT_LE(kept, 100u * 400);
}

class Qcow2SnapshotChoiceTest : public testing::Test {
 protected:
  // The disk's size of the snapshot that is chosen, which tells them apart; 0 for none.
  uint64_t choose(const std::string& name, const std::string& id) {
    Qcow2SnapshotChoice choice(name, id);
    for (const Qcow2Snapshot& snapshot : snapshots_) choice.see(snapshot);
    const auto chosen = choice.chosen();
    error_ = chosen.status();
    return chosen.ok() ? chosen->facts.disk_size : 0;
  }

  void add(const std::string& id, const std::string& name) {
    Qcow2Snapshot snapshot;
    snapshot.facts.id = id;
    snapshot.facts.name = name;
    snapshot.facts.disk_size = snapshots_.size() + 1;
    snapshots_.push_back(snapshot);
  }

  std::vector<Qcow2Snapshot> snapshots_;
  absl::Status error_;
};

TEST_F(Qcow2SnapshotChoiceTest, FindsByNameThenById) {
  add("1", "old");
  add("2", "3");
  add("3", "old");
  EXPECT_EQ(choose("3", ""), 2u);
  EXPECT_EQ(choose("old", ""), 1u);
  EXPECT_EQ(choose("1", ""), 1u);
  EXPECT_EQ(choose("", "3"), 3u);
  EXPECT_EQ(choose("", "old"), 0u);
  EXPECT_EQ(choose("4", ""), 0u);
  EXPECT_EQ(status_errno(error_), ENOENT);
  EXPECT_NE(status_text(error_).find("no snapshot '4'; it has 'old', '3', 'old'."),
            std::string::npos)
      << error_;
}

TEST_F(Qcow2SnapshotChoiceTest, FindsLongNamesWholeAndAsTheyAreShown) {
  add("1", std::string(300, 'a') + "1");
  add("2", std::string(300, 'a') + "2");
  EXPECT_EQ(choose(std::string(300, 'a') + "2", ""), 1u + 1);
  EXPECT_EQ(choose(std::string(255, 'a'), ""), 1u);
  EXPECT_EQ(choose(std::string(254, 'a'), ""), 0u);
}

TEST(Qcow2Snapshot, IsCheckedBeforeItIsOpened) {
  const Qcow2Header header = header_with(1);
  const uint64_t file_size = 10 * 65536;
  Qcow2Snapshot good;
  good.facts.disk_size = 1 << 20;
  good.l1_offset = 3 * 65536;
  good.l1_entries = 1;
  EXPECT_TRUE(check_qcow2_snapshot(header, good, file_size).ok());
  const auto error_with = [&](auto change) {
    Qcow2Snapshot bad = good;
    change(bad);
    return status_errno(check_qcow2_snapshot(header, bad, file_size));
  };
  EXPECT_EQ(error_with([](Qcow2Snapshot& s) { s.l1_offset = 0; }), EINVAL);
  EXPECT_EQ(error_with([](Qcow2Snapshot& s) { s.l1_offset += 8; }), EINVAL);
  EXPECT_EQ(error_with([](Qcow2Snapshot& s) { s.l1_offset = 10 * 65536; }), EINVAL);
  EXPECT_EQ(error_with([](Qcow2Snapshot& s) { s.l1_offset = UINT64_MAX << 16; }), EINVAL);
  EXPECT_EQ(error_with([](Qcow2Snapshot& s) { s.l1_entries = UINT32_MAX; }), EFBIG);
  EXPECT_EQ(error_with([](Qcow2Snapshot& s) { s.facts.disk_size = UINT64_MAX; }), EINVAL);
}

}  // namespace
}  // namespace penstock
