// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <random>

#include "base/big_endian.h"
#include "base/status.h"
#include "block/io/child_io.h"
#include "drivers/qcow2/check/check_report.h"
#include "drivers/qcow2/check/qcow2_check.h"
#include "drivers/qcow2/qcow2_format.h"
#include "drivers/qcow2/qcow2_header.h"
#include "drivers/qcow2/qcow2_snapshot_table.h"
#include "tests/drivers/driver_world.h"
#include "tests/drivers/qcow2/qemu_tools.h"

namespace penstock {
namespace {

constexpr uint64_t kCopiedEntry = uint64_t{1} << 63;

std::vector<uint8_t> be64(uint64_t value) {
  std::vector<uint8_t> bytes(8);
  for (int i = 0; i < 8; ++i) bytes[i] = static_cast<uint8_t>(value >> (56 - 8 * i));
  return bytes;
}

std::vector<uint8_t> be32(uint32_t value) {
  const std::vector<uint8_t> bytes = be64(value);
  return {bytes.begin() + 4, bytes.end()};
}

uint64_t word_at(const std::string& path, uint64_t offset) {
  return load_be64(&file_bytes(path)[offset]);
}

class Qcow2CheckTest : public testing::Test {
 protected:
  absl::StatusOr<ImageCheck> check(const std::string& path,
                                   uint64_t memory = ReferenceCounts::kMemory) {
    DriverWorld world;
    Backend& backend =
        world.serve({{"driver", "file"}, {"filename", path}, {"read-only", true}}, kReader);
    absl::StatusOr<ImageCheck> result = absl::UnknownError("");
    world.run_all({[&] {
      assert_in_coroutine();
      BackendRequest request(backend, "check", 0, 0);
      const Child& file = request.root();
      std::vector<std::byte> head(std::min<uint64_t>(request.size(), 2 << 20));
      const iovec segment = iovec_of(std::span(head));
      if (auto read = co_preadv(file, 0, IoVector(segment)); !read.ok()) {
        result = read;
        return;
      }
      const auto header = parse_qcow2_header(head, request.size());
      if (!header.ok()) {
        result = header.status();
        return;
      }
      absl::StatusOr<Qcow2SnapshotTable> snapshots = Qcow2SnapshotTable{};
      if (header->snapshot_count != 0) snapshots = co_read_qcow2_snapshots(file, *header);
      result = snapshots.ok() ? co_check_qcow2(file, *header, *snapshots, memory)
                              : absl::StatusOr<ImageCheck>(snapshots.status());
    }});
    return result;
  }

  std::string make_image(const std::string& options, const std::string& size = "4M") {
    const std::string path = folder_.path("image.qcow2");
    qemu_img({"create", "-q", "-f", "qcow2", "-o", options, path, size});
    return path;
  }

  ImageFolder folder_;
};

void expect_equal(const ImageCheck& a, const ImageCheck& b) {
  EXPECT_EQ(a.corruptions, b.corruptions);
  EXPECT_EQ(a.leaks, b.leaks);
  EXPECT_EQ(a.check_errors, b.check_errors);
  EXPECT_EQ(a.allocated_clusters, b.allocated_clusters);
  EXPECT_EQ(a.fragmented_clusters, b.fragmented_clusters);
  EXPECT_EQ(a.compressed_clusters, b.compressed_clusters);
  EXPECT_EQ(a.image_end_offset, b.image_end_offset);
}

// Windows of 4 bytes of counters: many passes over a small image.
TEST_F(Qcow2CheckTest, ManyPassesFindWhatOnePassFinds) {
  std::mt19937_64 random(7);
  for (const char* options : {"cluster_size=64k", "cluster_size=512,refcount_bits=2",
                              "cluster_size=4k,refcount_bits=64", "extended_l2=on"}) {
    const std::string path = make_image(options, "256k");
    qemu_io(path, {"write -P 1 0 50k"});
    qemu_img({"snapshot", "-c", "one", path});
    qemu_io(path, {"write -P 2 20k 60k"});
    const uint64_t l1 = word_at(path, 40);
    const uint64_t l2 = word_at(path, l1) & kQcow2OffsetMask;
    const uint64_t block = word_at(path, word_at(path, 48));
    for (int round = 0; round < 12; ++round) {
      if (round > 0) {
        const uint64_t at = (round % 2 == 0 ? l2 : block) + 8 * (random() % 8);
        patch_file(path, at, be64(word_at(path, at) ^ (uint64_t{1} << (9 + random() % 12))));
      }
      const auto whole = check(path);
      const auto windows = check(path, 32);
      ASSERT_TRUE(whole.ok()) << status_text(whole.status());
      ASSERT_TRUE(windows.ok()) << status_text(windows.status());
      SCOPED_TRACE(std::string(options) + " round " + std::to_string(round));
      expect_equal(*whole, *windows);
      if (round == 0) {
        EXPECT_EQ(whole->corruptions + whole->leaks, 0U);
      }
    }
  }
}

TEST_F(Qcow2CheckTest, ManyL1EntriesOfOneTableCostOneWalk) {
  const std::string path = make_image("cluster_size=2M", "4M");
  qemu_io(path, {"write -P 1 0 4M"});
  const uint64_t entry = word_at(path, word_at(path, 40));
  // 65,536 entries name the table of 262,144 entries.
  std::vector<uint8_t> entries;
  for (int i = 0; i < 65536; ++i) {
    const auto bytes = be64(entry);
    entries.insert(entries.end(), bytes.begin(), bytes.end());
  }
  patch_file(path, word_at(path, 40), entries);
  patch_file(path, 36, be32(65536));

  const auto before = std::chrono::steady_clock::now();
  const auto result = check(path);
  ASSERT_TRUE(result.ok()) << status_text(result.status());
  EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::seconds(20));
  EXPECT_EQ(result->allocated_clusters, 2U * 65536);
  // The table and its two clusters each have one reference more than 16 bits count, and a refcount
  // that is too small.
  EXPECT_EQ(result->corruptions, 3U + 3U);
}

TEST_F(Qcow2CheckTest, EmptySpaceOfAHugeFileCostsNothing) {
  const std::string path = make_image("cluster_size=64k");
  qemu_io(path, {"write -P 1 0 300k"});
  std::filesystem::resize_file(path, uint64_t{8} << 40);
  const auto result = check(path);
  ASSERT_TRUE(result.ok()) << status_text(result.status());
  EXPECT_EQ(result->corruptions, 0U);
  EXPECT_EQ(result->leaks, 0U);
}

TEST_F(Qcow2CheckTest, TablesInHolesArePassedOver) {
  const std::string path = make_image("cluster_size=2M", "4M");
  // 100,000 L2 tables of 2 MiB each in a hole: 200 GiB that nobody reads.
  std::vector<uint8_t> entries;
  for (uint64_t i = 0; i < 100000; ++i) {
    const auto bytes = be64(kCopiedEntry | ((i + 100) << 21));
    entries.insert(entries.end(), bytes.begin(), bytes.end());
  }
  patch_file(path, word_at(path, 40), entries);
  patch_file(path, 36, be32(100000));
  std::filesystem::resize_file(path, uint64_t{200200} << 20);

  const auto before = std::chrono::steady_clock::now();
  const auto result = check(path);
  ASSERT_TRUE(result.ok()) << status_text(result.status());
  EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::seconds(20));
  // Each table has refcount 0, and an L1 entry that says 1.
  EXPECT_EQ(result->corruptions, 200000U);
  EXPECT_EQ(result->messages.size(), CheckReport::kMaxMessages);
  EXPECT_EQ(result->messages_left_out, 200000U - CheckReport::kMaxMessages);
}

TEST_F(Qcow2CheckTest, WindowsThatAreTooManyAreRefused) {
  const std::string path = make_image("cluster_size=512", "1M");
  qemu_io(path, {"write -P 1 0 1M"});
  const auto result = check(path, 4);
  EXPECT_EQ(status_errno(result.status()), EFBIG);
  EXPECT_NE(status_text(result.status()).find("convert the image"), std::string::npos);
}

}  // namespace
}  // namespace penstock
