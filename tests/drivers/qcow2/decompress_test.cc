// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <random>

#include "base/status.h"
#include "drivers/qcow2/qcow2_decompress.h"
#include "tests/drivers/qcow2/compress_cluster.h"

namespace penstock {
namespace {

constexpr std::byte kUntouched{0x5a};

// The decompressed cluster; its memory has a fence behind it that must stay as it was.
struct Decompressed {
  absl::Status status;
  Bytes cluster;
};

Decompressed decompress(Qcow2Compression compression, const Bytes& input, size_t cluster_size) {
  constexpr size_t kFence = 64;
  Bytes memory(cluster_size + kFence, kUntouched);
  Decompressed result;
  result.status = qcow2_decompress(compression, input, std::span(memory).subspan(0, cluster_size));
  EXPECT_TRUE(std::all_of(memory.begin() + static_cast<std::ptrdiff_t>(cluster_size), memory.end(),
                          [](std::byte byte) { return byte == kUntouched; }));
  memory.resize(cluster_size);
  result.cluster = std::move(memory);
  return result;
}

Bytes joined(const Bytes& first, const Bytes& second) {
  Bytes result = first;
  result.insert(result.end(), second.begin(), second.end());
  return result;
}

class Decompress : public testing::TestWithParam<Qcow2Compression> {};

INSTANTIATE_TEST_SUITE_P(Both, Decompress,
                         testing::Values(Qcow2Compression::kZlib, Qcow2Compression::kZstd),
                         [](const auto& kind) {
                           return kind.param == Qcow2Compression::kZlib ? "zlib" : "zstd";
                         });

TEST_P(Decompress, GivesTheClusterBackAtEverySize) {
  for (size_t size = 512; size <= 2 << 20; size *= 2) {
    for (const Bytes& data : {compressible(size, size), noise(size, size), Bytes(size)}) {
      const auto result = decompress(GetParam(), compress(GetParam(), data), size);
      ASSERT_TRUE(result.status.ok()) << result.status;
      EXPECT_EQ(result.cluster, data) << size;
    }
  }
}

TEST_P(Decompress, IgnoresWhatFollowsInTheLastSector) {
  const Bytes data = compressible(65536, 1);
  for (const Bytes& tail : {Bytes(511), noise(511, 2), compress(GetParam(), data)}) {
    const auto result =
        decompress(GetParam(), joined(compress(GetParam(), data), tail), data.size());
    ASSERT_TRUE(result.status.ok()) << result.status;
    EXPECT_EQ(result.cluster, data);
  }
}

TEST_P(Decompress, RefusesEveryTruncation) {
  const Bytes data = compressible(4096, 3);
  const Bytes whole = compress(GetParam(), data);
  for (size_t length = 0; length < whole.size(); ++length) {
    const Bytes part(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length));
    EXPECT_EQ(status_errno(decompress(GetParam(), part, data.size()).status), EIO) << length;
  }
}

TEST_P(Decompress, RefusesDataThatDoesNotFillTheCluster) {
  for (const size_t length : {1, 4095}) {
    const Bytes input = compress(GetParam(), Bytes(length));
    EXPECT_EQ(status_errno(decompress(GetParam(), input, 4096).status), EIO) << length;
  }
}

// As QEMU does: zlib data may go on, a zstd frame must end.
TEST_P(Decompress, StopsWhereTheClusterIsFull) {
  for (const size_t length : {4097, 64 << 20}) {
    const Bytes input = compress(GetParam(), Bytes(length));
    const auto answer = decompress(GetParam(), input, 4096);
    if (GetParam() == Qcow2Compression::kZlib) {
      EXPECT_TRUE(answer.status.ok()) << answer.status;
      EXPECT_EQ(answer.cluster, Bytes(4096));
    } else {
      EXPECT_EQ(status_errno(answer.status), EIO) << length;
    }
  }
}

TEST_P(Decompress, RefusesEmptyInputAndEmptyStreams) {
  EXPECT_EQ(status_errno(decompress(GetParam(), {}, 4096).status), EIO);
  EXPECT_EQ(status_errno(decompress(GetParam(), compress(GetParam(), {}), 4096).status), EIO);
}

TEST_P(Decompress, RefusesTheOtherKindOfData) {
  const Bytes data = compressible(4096, 4);
  const bool zlib = GetParam() == Qcow2Compression::kZlib;
  const Bytes input = zlib ? zstd_frame(data) : deflate_raw(data);
  EXPECT_EQ(status_errno(decompress(GetParam(), input, data.size()).status), EIO);
}

TEST_P(Decompress, DecodesWellAfterAnError) {
  const Bytes data = compressible(4096, 5);
  const Bytes good = compress(GetParam(), data);
  Bytes bad = good;
  bad.resize(bad.size() / 2);
  EXPECT_FALSE(decompress(GetParam(), bad, data.size()).status.ok());
  EXPECT_EQ(decompress(GetParam(), good, data.size()).cluster, data);
}

TEST_P(Decompress, AnswersGarbageAndDamageWithinItsMemory) {
  std::mt19937_64 random(6);
  const Bytes good = compress(GetParam(), compressible(4096, 6));
  for (int round = 0; round < 5000; ++round) {
    Bytes input = good;
    if (round % 2 == 0) {
      const size_t flips = 1 + random() % 8;
      for (size_t i = 0; i < flips; ++i) {
        input[random() % input.size()] ^= static_cast<std::byte>(1 << random() % 8);
      }
    } else {
      const size_t kept = random() % 16;
      const Bytes garbage = noise(random() % 2048, random());
      input =
          joined(Bytes(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(kept)), garbage);
    }
    const auto status = decompress(GetParam(), input, 4096).status;
    EXPECT_TRUE(status.ok() || status_errno(status) == EIO) << status;
  }
}

TEST(DecompressZlib, TakesWiderWindowsThanQemus) {
  // The second half repeats the first from 30 KiB before.
  Bytes data = noise(30 << 10, 7);
  data = joined(data, data);
  data.resize(32 << 10);
  const auto result = decompress(Qcow2Compression::kZlib, deflate_raw(data, 15), data.size());
  ASSERT_TRUE(result.status.ok()) << result.status;
  EXPECT_EQ(result.cluster, data);
}

TEST(DecompressZstd, TakesAClusterInSeveralFrames) {
  const Bytes data = compressible(65536, 8);
  Bytes input;
  for (size_t begin = 0; begin < data.size(); begin += 16384) {
    input = joined(input, zstd_frame(std::span(data).subspan(begin, 16384)));
    input = joined(input, zstd_frame({}));
  }
  const auto result = decompress(Qcow2Compression::kZstd, input, data.size());
  ASSERT_TRUE(result.status.ok()) << result.status;
  EXPECT_EQ(result.cluster, data);
}

TEST(DecompressZstd, TakesAFrameThatAsksForAWindowOf128MiB) {
  const Bytes data = compressible(65536, 9);
  const auto result = decompress(Qcow2Compression::kZstd, zstd_frame(data, 27), data.size());
  ASSERT_TRUE(result.status.ok()) << result.status;
  EXPECT_EQ(result.cluster, data);
}

TEST(DecompressZstd, RefusesFramesOfOldKinds) {
  Bytes input = zstd_frame(compressible(4096, 10));
  for (unsigned kind = 0x22; kind < 0x28; ++kind) {
    input[0] = static_cast<std::byte>(kind);
    EXPECT_EQ(status_errno(decompress(Qcow2Compression::kZstd, input, 4096).status), EIO);
  }
}

}  // namespace
}  // namespace penstock
