// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <memory>
#include <string>

#include "base/status.h"
#include "block/backend/backend_request.h"
#include "drivers/qcow2/qcow2_compressed_clusters.h"
#include "iothreads/coroutine.h"
#include "tests/drivers/driver_world.h"
#include "tests/drivers/qcow2/compress_cluster.h"
#include "tests/drivers/test_files.h"

namespace penstock {
namespace {

using nlohmann::json;

Bytes slice_of(const Bytes& data, uint64_t offset, uint64_t length) {
  const auto begin = data.begin() + static_cast<std::ptrdiff_t>(offset);
  return {begin, begin + static_cast<std::ptrdiff_t>(length)};
}

// What a request wants, and the memory that it gets.
struct Want {
  uint64_t descriptor;
  uint64_t offset;
  uint64_t length;
};

struct Answer {
  absl::Status status;
  std::vector<Bytes> pieces;
};

Answer co_ask(Qcow2CompressedClusters& clusters, Backend& file,
              const std::vector<Want>& wants) COROUTINE_CODE {
  Answer answer;
  std::vector<iovec> segments;
  for (const Want& want : wants) {
    answer.pieces.emplace_back(want.length);
    segments.push_back(iovec_of(std::span(answer.pieces.back())));
  }
  std::vector<Qcow2CompressedPiece> pieces;
  for (size_t i = 0; i < wants.size(); ++i) {
    pieces.push_back({wants[i].descriptor, wants[i].offset, IoVector(segments[i])});
  }
  BackendRequest request(file, "read", 0, 0);
  if (!request.status().ok()) return {request.status(), {}};
  answer.status = clusters.co_read(request.root(), pieces);
  return answer;
}

// A file of compressed clusters, one right behind the other, as QEMU writes them.
class CompressedClusters : public testing::TestWithParam<Qcow2Compression> {
 protected:
  static Qcow2Geometry geometry(unsigned cluster_bits) {
    Qcow2Geometry geometry;
    geometry.cluster_bits = cluster_bits;
    return geometry;
  }

  void build(unsigned cluster_bits, unsigned count, Qcow2Compression compression) {
    geometry_ = geometry(cluster_bits);
    uint64_t offset = 1000;
    for (unsigned i = 0; i < count; ++i) {
      plain_.push_back(compressible(geometry_.cluster_size(), i));
      const Bytes packed = compress(compression, plain_.back());
      file_.write(offset, packed);
      places_.push_back(offset);
      descriptors_.push_back(compressed_descriptor(geometry_, offset, packed.size()));
      offset += packed.size();
    }
    end_ = offset;
    clusters_ = std::make_unique<Qcow2CompressedClusters>(geometry_, compression, memory_);
    open_file();
  }

  // Again after the test has changed the file's size.
  void open_file() {
    backend_ = &world_.serve({{"driver", "file"}, {"filename", file_.path()}, {"read-only", true}},
                             kReader);
  }

  Answer ask(const std::vector<Want>& wants) {
    return run_sync(world_.context(0), [&] {
      assert_in_coroutine();
      return co_ask(*clusters_, *backend_, wants);
    });
  }

  Want whole(size_t cluster) { return {descriptors_[cluster], 0, geometry_.cluster_size()}; }
  uint64_t decompressed() { return clusters_->counts().decompressed; }

  const TestFile file_{"/dev/shm", 0};
  DriverWorld world_{4};
  Qcow2Geometry geometry_;
  std::vector<Bytes> plain_;
  std::vector<uint64_t> places_;
  std::vector<uint64_t> descriptors_;
  uint64_t end_ = 0;  // bytes: behind the last cluster's data
  Qcow2ProcessMemory memory_;
  std::unique_ptr<Qcow2CompressedClusters> clusters_;
  Backend* backend_ = nullptr;
};

INSTANTIATE_TEST_SUITE_P(Both, CompressedClusters,
                         testing::Values(Qcow2Compression::kZlib, Qcow2Compression::kZstd),
                         [](const auto& kind) {
                           return kind.param == Qcow2Compression::kZlib ? "zlib" : "zstd";
                         });

TEST_P(CompressedClusters, OneRequestReadsPartsOfManyClusters) {
  build(16, 10, GetParam());
  std::vector<Want> wants = {{descriptors_[9], 65535, 1}, {descriptors_[0], 60000, 5536}};
  for (size_t i = 1; i < 9; ++i) wants.push_back(whole(i));
  wants.push_back({descriptors_[0], 0, 0});
  const auto answer = ask(wants);
  ASSERT_TRUE(answer.status.ok()) << answer.status;
  EXPECT_EQ(answer.pieces[0], slice_of(plain_[9], 65535, 1));
  EXPECT_EQ(answer.pieces[1], slice_of(plain_[0], 60000, 5536));
  for (size_t i = 1; i < 9; ++i) EXPECT_EQ(answer.pieces[i + 1], plain_[i]) << i;
  EXPECT_EQ(decompressed(), 10u);
}

TEST_P(CompressedClusters, TheLastClusterMayEndAtTheEndOfTheFile) {
  build(16, 1, GetParam());
  ASSERT_EQ(file_.size(), end_);
  ASSERT_NE(end_ % 512, 0u);
  const auto answer = ask({whole(0)});
  ASSERT_TRUE(answer.status.ok()) << answer.status;
  EXPECT_EQ(answer.pieces[0], plain_[0]);
}

TEST_P(CompressedClusters, SmallReadsDecompressTheirClusterOnce) {
  build(16, 2, GetParam());
  for (uint64_t offset = 0; offset < 65536; offset += 4096) {
    const auto answer = ask({{descriptors_[1], offset, 4096}});
    ASSERT_TRUE(answer.status.ok()) << answer.status;
    EXPECT_EQ(answer.pieces[0], slice_of(plain_[1], offset, 4096)) << offset;
  }
  EXPECT_EQ(decompressed(), 1u);
}

TEST_P(CompressedClusters, AClusterTwiceInOneRequestIsDecompressedOnce) {
  build(16, 1, GetParam());
  const auto answer = ask({whole(0), {descriptors_[0], 10, 100}, whole(0)});
  ASSERT_TRUE(answer.status.ok()) << answer.status;
  EXPECT_EQ(answer.pieces[0], plain_[0]);
  EXPECT_EQ(answer.pieces[1], slice_of(plain_[0], 10, 100));
  EXPECT_EQ(answer.pieces[2], plain_[0]);
  EXPECT_EQ(decompressed(), 1u);
}

TEST_P(CompressedClusters, ScatteredMemoryIsFilled) {
  build(12, 1, GetParam());
  Bytes first(1000);
  Bytes second(3096);
  const iovec segments[] = {iovec_of(std::span(first)), iovec_of(std::span(second))};
  const Qcow2CompressedPiece piece = {descriptors_[0], 0, IoVector(segments)};
  const absl::Status status = run_sync(world_.context(0), [&]() -> absl::Status {
    assert_in_coroutine();
    BackendRequest request(*backend_, "read", 0, 0);
    if (!request.status().ok()) return request.status();
    return clusters_->co_read(request.root(), {&piece, 1});
  });
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(first, slice_of(plain_[0], 0, 1000));
  EXPECT_EQ(second, slice_of(plain_[0], 1000, 3096));
}

TEST_P(CompressedClusters, ThreadsThatReadOneClusterDecompressItOnce) {
  constexpr int kReaders = 16;
  build(16, 50, GetParam());
  for (size_t cluster = 0; cluster < plain_.size(); ++cluster) {
    std::atomic<int> right = 0;
    std::vector<std::function<void()>> readers;
    for (int i = 0; i < kReaders; ++i) {
      readers.emplace_back([&, i] {
        assert_in_coroutine();
        const auto offset = static_cast<uint64_t>(i) * 4096;
        const auto answer = co_ask(*clusters_, *backend_, {{descriptors_[cluster], offset, 4096}});
        if (answer.status.ok() && answer.pieces[0] == slice_of(plain_[cluster], offset, 4096)) {
          ++right;
        }
      });
    }
    world_.run_all(readers);
    EXPECT_EQ(right, kReaders);
    EXPECT_EQ(decompressed(), cluster + 1);
  }
}

TEST_P(CompressedClusters, RequestsForTheSameClustersInOppositeOrdersEnd) {
  build(16, 24, GetParam());
  for (int round = 0; round < 20; ++round) {
    std::atomic<int> right = 0;
    std::vector<std::function<void()>> readers;
    for (int i = 0; i < 8; ++i) {
      readers.emplace_back([&, i] {
        assert_in_coroutine();
        std::vector<Want> wants;
        for (size_t cluster = 0; cluster < plain_.size(); ++cluster)
          wants.push_back(whole(cluster));
        if (i % 2 != 0) std::ranges::reverse(wants);
        if (i % 3 == 0) wants[5] = {wants[5].descriptor, 0, 100};
        const auto answer = co_ask(*clusters_, *backend_, wants);
        bool good = answer.status.ok();
        for (size_t k = 0; good && k < wants.size(); ++k) {
          const Bytes& plain = plain_[i % 2 != 0 ? plain_.size() - 1 - k : k];
          good = answer.pieces[k] == slice_of(plain, 0, wants[k].length);
        }
        if (good) ++right;
      });
    }
    world_.run_all(readers);
    EXPECT_EQ(right, 8);
  }
}

TEST_P(CompressedClusters, RequestsLargerThanTheBudgetEndWithinIt) {
  build(21, 12, GetParam());
  std::atomic<int> right = 0;
  std::vector<std::function<void()>> readers;
  for (size_t i = 0; i < 4; ++i) {
    readers.emplace_back([&, i] {
      assert_in_coroutine();
      std::vector<Want> wants;
      for (size_t k = 0; k < plain_.size(); ++k)
        wants.push_back(whole((k + 3 * i) % plain_.size()));
      const auto answer = co_ask(*clusters_, *backend_, wants);
      bool good = answer.status.ok();
      for (size_t k = 0; good && k < wants.size(); ++k) {
        good = answer.pieces[k] == plain_[(k + 3 * i) % plain_.size()];
      }
      if (good) ++right;
    });
  }
  world_.run_all(readers);
  EXPECT_EQ(right, 4);
  EXPECT_LE(clusters_->counts().peak_bytes, 16u << 20);
  EXPECT_GE(clusters_->counts().peak_bytes, 2u << 20);
}

TEST_P(CompressedClusters, ManyImagesTakeNoMoreMemoryThanOne) {
  build(21, 2, GetParam());
  std::vector<std::unique_ptr<Qcow2CompressedClusters>> images;
  std::atomic<int> right = 0;
  std::vector<std::function<void()>> readers;
  for (size_t i = 0; i < 40; ++i) {
    images.push_back(std::make_unique<Qcow2CompressedClusters>(geometry_, GetParam(), memory_));
    readers.emplace_back([&, i] {
      assert_in_coroutine();
      const auto answer = co_ask(*images[i], *backend_, {{descriptors_[i % 2], 4096, 4096}});
      if (answer.status.ok() && answer.pieces[0] == slice_of(plain_[i % 2], 4096, 4096)) ++right;
    });
  }
  world_.run_all(readers);
  EXPECT_EQ(right, 40);
  EXPECT_LE(memory_.decompression.peak(), 16u << 20);
  EXPECT_LE(memory_.kept.bytes(), 16u << 20);
  EXPECT_GE(memory_.kept.bytes(), 12u << 20);
  images.clear();
  EXPECT_EQ(memory_.kept.bytes(), 0u);
}

TEST_P(CompressedClusters, DamagedDataFailsAloneAndNamesItsPlace) {
  build(16, 3, GetParam());
  const uint64_t length = places_[2] - places_[1];
  file_.write(places_[1], noise(length, 1));
  for (int round = 0; round < 2; ++round) {
    const auto answer = ask({whole(0), {descriptors_[1], 0, 512}, whole(2)});
    EXPECT_EQ(status_errno(answer.status), EIO);
    EXPECT_NE(status_text(answer.status).find("offset " + std::to_string(places_[1]) + " "),
              std::string::npos)
        << answer.status;
    EXPECT_EQ(answer.pieces[0], plain_[0]);
    EXPECT_EQ(answer.pieces[2], plain_[2]);
  }
  // Nothing of the damaged cluster was kept.
  EXPECT_EQ(decompressed(), 6u);
}

TEST_P(CompressedClusters, DataCutOffByTheEndOfTheFileIsRefused) {
  build(16, 1, GetParam());
  file_.truncate(end_ - 100);
  backend_ =
      &world_.serve({{"driver", "file"}, {"filename", file_.path()}, {"read-only", true}}, kReader);
  EXPECT_EQ(status_errno(ask({whole(0)}).status), EIO);
}

TEST_P(CompressedClusters, DataPastTheEndOfTheFileIsRefused) {
  build(16, 1, GetParam());
  for (const uint64_t place : {end_, uint64_t{1} << 40, (uint64_t{1} << 54) - 1}) {
    const auto answer = ask({{compressed_descriptor(geometry_, place, 100), 0, 512}, whole(0)});
    EXPECT_EQ(status_errno(answer.status), EIO);
    EXPECT_NE(status_text(answer.status).find(std::to_string(place)), std::string::npos)
        << answer.status;
    EXPECT_EQ(answer.pieces[1], plain_[0]);
  }
}

TEST_P(CompressedClusters, AClusterThatUnpacksToTooMuchTakesNoMoreMemory) {
  build(12, 1, GetParam());
  const Bytes bomb = compress(GetParam(), Bytes(64 << 20));
  const Bytes head = slice_of(bomb, 0, std::min<uint64_t>(bomb.size(), 8192));
  file_.write(8192, head);
  open_file();
  const Want want = {compressed_descriptor(geometry_, 8192, head.size()), 0, 4096};
  EXPECT_EQ(ask({want}).status.ok(), GetParam() == Qcow2Compression::kZlib);
  EXPECT_EQ(decompressed(), 1u);
  EXPECT_LE(clusters_->counts().peak_bytes, 3u * 4096);
}

TEST_P(CompressedClusters, AnErrorOfTheFileKeepsItsErrno) {
  build(16, 1, GetParam());
  backend_ = &world_.serve({{"driver", "faults"},
                            {"read-only", true},
                            {"file", {{"driver", "file"}, {"filename", file_.path()}}},
                            {"rules", {"read_aio:errno=EBADMSG:always"}}},
                           kReader);
  const auto answer = ask({whole(0), {descriptors_[0], 1, 1}});
  EXPECT_EQ(status_errno(answer.status), EBADMSG);
  EXPECT_NE(status_text(answer.status).find("offset 1000 "), std::string::npos) << answer.status;
}

TEST_P(CompressedClusters, RandomDescriptorsNeverDoHarm) {
  build(16, 4, GetParam());
  file_.write(end_, noise(1 << 20, 1));
  backend_ =
      &world_.serve({{"driver", "file"}, {"filename", file_.path()}, {"read-only", true}}, kReader);
  const Bytes random = noise(8 * 2000, 2);
  for (size_t i = 0; i < 2000; ++i) {
    uint64_t descriptor = 0;
    for (size_t k = 0; k < 8; ++k) {
      descriptor = descriptor << 8 | std::to_integer<uint64_t>(random[8 * i + k]);
    }
    // Most of them inside the file.
    if (i % 4 != 0) descriptor &= ~(((uint64_t{1} << 54) - 1) ^ 0xfffff);
    const auto answer = ask({{descriptor | kQcow2Compressed, 0, 512}, whole(i % 4)});
    EXPECT_TRUE(answer.status.ok() || status_errno(answer.status) == EIO) << answer.status;
    EXPECT_EQ(answer.pieces[1], plain_[i % 4]);
  }
}

// The image's compressed clusters, found by a short walk through its tables.
struct QemuImage {
  Qcow2Geometry geometry;
  std::vector<std::pair<uint64_t, uint64_t>> clusters;  // guest offset, descriptor
};

uint64_t big_endian(const Bytes& bytes, size_t length) {
  uint64_t value = 0;
  for (size_t i = 0; i < length; ++i) value = value << 8 | std::to_integer<uint64_t>(bytes[i]);
  return value;
}

QemuImage walk(const TestFile& image, uint64_t size) {
  QemuImage result;
  result.geometry.cluster_bits = static_cast<unsigned>(big_endian(image.read(20, 4), 4));
  const uint64_t l1 = big_endian(image.read(40, 8), 8);
  for (uint64_t guest = 0; guest < size; guest += result.geometry.cluster_size()) {
    const uint64_t l1_entry =
        big_endian(image.read(l1 + 8 * result.geometry.l1_index(guest), 8), 8);
    const uint64_t l2 = l1_entry & kQcow2OffsetMask;
    if (l2 == 0) continue;
    const uint64_t entry = big_endian(image.read(l2 + 8 * result.geometry.l2_index(guest), 8), 8);
    if ((entry & kQcow2Compressed) != 0) result.clusters.emplace_back(guest, entry);
  }
  return result;
}

TEST_P(CompressedClusters, ReadsWhatQemuImgWrote) {
  const std::string kind = GetParam() == Qcow2Compression::kZlib ? "zlib" : "zstd";
  for (const char* cluster_size : {"512", "4k", "64k", "2M"}) {
    constexpr uint64_t kSize = 4 << 20;
    const Bytes plain = compressible(kSize, 11);
    const TestFile raw("/dev/shm", kSize);
    raw.write(0, plain);
    const TestFile image("/dev/shm", 0);
    const std::string command = "qemu-img convert -c -f raw -O qcow2 -o compression_type=" + kind +
                                ",cluster_size=" + cluster_size + " " + raw.path() + " " +
                                image.path();
    ASSERT_EQ(std::system(command.c_str()), 0) << command;
    const QemuImage found = walk(image, kSize);
    ASSERT_EQ(found.clusters.size(), kSize / found.geometry.cluster_size());
    clusters_ = std::make_unique<Qcow2CompressedClusters>(found.geometry, GetParam());
    backend_ = &world_.serve({{"driver", "file"}, {"filename", image.path()}, {"read-only", true}},
                             kReader);
    const uint64_t step = found.geometry.cluster_size();
    const size_t together = std::max<size_t>(1, (1 << 20) / step);
    for (size_t begin = 0; begin < found.clusters.size(); begin += together) {
      std::vector<Want> wants;
      for (size_t i = begin; i < begin + together; ++i) {
        wants.push_back({found.clusters[i].second, 0, step});
      }
      const auto answer = ask(wants);
      ASSERT_TRUE(answer.status.ok()) << answer.status;
      for (size_t i = begin; i < begin + together; ++i) {
        ASSERT_EQ(answer.pieces[i - begin], slice_of(plain, found.clusters[i].first, step));
      }
    }
  }
}

}  // namespace
}  // namespace penstock
