// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>
#include <random>

#include "base/status.h"
#include "drivers/qcow2/qcow2_format.h"
#include "drivers/qcow2/qcow2_header.h"
#include "tests/drivers/qcow2/qemu_tools.h"

namespace penstock {
namespace {

using testing::HasSubstr;

// The first cluster of an image of 1 GiB with clusters of 64 KiB, and ways to spoil it.
class HeadBytes {
 public:
  explicit HeadBytes(uint32_t version = 3) : bytes_(65536) {
    put32(0, kQcow2Magic);
    put32(4, version);
    put32(20, 16);
    put64(24, 1 << 30);
    put32(36, 2);
    put64(40, 3 * 65536);
    put64(48, 65536);
    put32(56, 1);
    if (version == 2) return;
    put32(96, 4);
    put32(100, 112);
  }

  HeadBytes& put32(size_t offset, uint32_t value) { return put(offset, value, 4); }
  HeadBytes& put64(size_t offset, uint64_t value) { return put(offset, value, 8); }
  HeadBytes& put(size_t offset, const std::string& text) {
    std::memcpy(&bytes_[offset], text.data(), text.size());
    return *this;
  }
  // Appends an extension; the first one is at byte 112 (72 in version 2).
  HeadBytes& extend(uint32_t type, const std::string& data) {
    if (end_ == 0) end_ = bytes_[7] == std::byte{2} ? 72 : 112;
    put32(end_, type).put32(end_ + 4, static_cast<uint32_t>(data.size())).put(end_ + 8, data);
    end_ += 8 + (data.size() + 7) / 8 * 8;
    return *this;
  }
  HeadBytes& shorten(size_t size) {
    bytes_.resize(size);
    return *this;
  }

  absl::StatusOr<Qcow2Header> parse(uint64_t file_size = 4 * 65536) const {
    return parse_qcow2_header(bytes_, file_size);
  }
  std::vector<std::byte>& bytes() { return bytes_; }

 private:
  HeadBytes& put(size_t offset, uint64_t value, size_t size) {
    for (size_t i = 0; i < size; ++i) {
      bytes_[offset + i] = static_cast<std::byte>(value >> (8 * (size - 1 - i)));
    }
    return *this;
  }

  std::vector<std::byte> bytes_;
  size_t end_ = 0;
};

void expect_refused(const HeadBytes& head, int error, const std::string& text) {
  const auto header = head.parse();
  EXPECT_EQ(status_errno(header.status()), error) << text;
  EXPECT_THAT(status_text(header.status()), HasSubstr(text));
}

std::string feature_name(char type, char bit, const std::string& name) {
  std::string entry = std::string{type, bit} + name;
  entry.resize(48);
  return entry;
}

TEST(Qcow2Header, SaysHowMuchItNeedsFromItsFirstBytes) {
  HeadBytes head;
  const auto first = std::span(head.bytes()).first(24);
  EXPECT_EQ(*qcow2_head_size(first, 1 << 20), 65536u);
  EXPECT_EQ(*qcow2_head_size(first, 1000), 1000u);
  EXPECT_EQ(status_errno(qcow2_head_size(first.first(23), 1000).status()), EINVAL);
  head.put32(0, 1);
  EXPECT_EQ(status_errno(qcow2_head_size(first, 1000).status()), EINVAL);
}

TEST(Qcow2Header, ReadsTheFieldsOfVersion3) {
  const auto header = HeadBytes()
                          .put64(72, kQcow2Dirty | kQcow2Corrupt)
                          .put64(80, kQcow2LazyRefcounts | 1 << 20)
                          .put32(60, 3)
                          .put64(64, 2 * 65536)
                          .put32(96, 6)
                          .parse();
  ASSERT_TRUE(header.ok()) << header.status();
  EXPECT_EQ(header->version, 3u);
  EXPECT_EQ(header->size, 1u << 30);
  EXPECT_EQ(header->l1_entries, 2u);
  EXPECT_EQ(header->l1_offset, 3u * 65536);
  EXPECT_EQ(header->refcount_bits, 64u);
  EXPECT_EQ(header->snapshot_count, 3u);
  EXPECT_TRUE(header->has_incompatible(kQcow2Dirty));
  EXPECT_EQ(header->compression, Qcow2Compression::kZlib);
}

TEST(Qcow2Header, IgnoresInVersion2WhatVersion3HasThere) {
  const auto header = HeadBytes(2).put64(80, UINT64_MAX).put32(96, 99).parse();
  ASSERT_TRUE(header.ok()) << header.status();
  EXPECT_EQ(header->refcount_bits, 16u);
  EXPECT_EQ(header->incompatible_features, 0u);
  EXPECT_EQ(header->header_length, 72u);
}

TEST(Qcow2Header, ReadsBackingNameAndExtensions) {
  const auto header = HeadBytes()
                          .put64(8, 1000)
                          .put32(16, 9)
                          .put(1000, "base.img\0")
                          .extend(0x12345678, "not known")
                          .extend(kQcow2ExtensionBackingFormat, "raw")
                          .extend(kQcow2ExtensionDataFile, "unused without its bit")
                          .extend(kQcow2ExtensionEnd, "")
                          .parse();
  ASSERT_TRUE(header.ok()) << header.status();
  EXPECT_EQ(header->backing_name, "base.img");
  EXPECT_EQ(header->backing_format, "raw");
  EXPECT_EQ(header->data_file_name, "");
}

TEST(Qcow2Header, ReadsExtensionsOfVersion2) {
  const auto header = HeadBytes(2).extend(kQcow2ExtensionBackingFormat, "qcow2").parse();
  ASSERT_TRUE(header.ok()) << header.status();
  EXPECT_EQ(header->backing_format, "qcow2");
}

TEST(Qcow2Header, TakesTheExtensionAreaToEndAtTheBackingName) {
  // The name's bytes are no extension, however they look.
  const auto header = HeadBytes().put64(8, 112).put32(16, 8).put(112, "\1\1\1\1\x7f\1\1\1").parse();
  ASSERT_TRUE(header.ok()) << header.status();
  EXPECT_EQ(header->backing_name.size(), 8u);
}

TEST(Qcow2Header, RefusesUnknownFeaturesByTheImagesOwnNames) {
  const HeadBytes head =
      HeadBytes()
          .put64(72, uint64_t{1} << 63 | 1 << 5 | kQcow2Dirty)
          .extend(kQcow2ExtensionFeatureNames,
                  feature_name(1, 5, "another set's") + feature_name(0, 5, "time\x1btravel"));
  expect_refused(head, ENOTSUP, "'time\\x1btravel', bit 63");
}

TEST(Qcow2Header, NamesUnknownFeaturesEvenIfTheRestIsStrange) {
  const HeadBytes head = HeadBytes()
                             .put64(72, 1 << 7)
                             .put32(96, 4)
                             .extend(kQcow2ExtensionFeatureNames, feature_name(0, 7, "shiny"))
                             .extend(kQcow2ExtensionCrypto, "0123456789abcdef");
  expect_refused(head, ENOTSUP, "'shiny'");
}

TEST(Qcow2Header, RefusesEncryptedImages) {
  expect_refused(HeadBytes().put32(32, 1), ENOTSUP, "encrypted (AES)");
  expect_refused(HeadBytes().put32(32, 2), ENOTSUP, "encrypted (LUKS)");
  expect_refused(HeadBytes().extend(kQcow2ExtensionCrypto, "0123456789abcdef"), ENOTSUP,
                 "encrypted");
}

TEST(Qcow2Header, RefusesFieldsThatCannotBe) {
  expect_refused(HeadBytes().put32(0, 0), EINVAL, "no qcow2 image");
  expect_refused(HeadBytes().put32(4, 1), ENOTSUP, "version is 1");
  expect_refused(HeadBytes().put32(4, 4), ENOTSUP, "version is 4");
  expect_refused(HeadBytes().put32(20, 8), EINVAL, "cluster_bits is 8");
  expect_refused(HeadBytes().put32(20, 22), EINVAL, "cluster_bits is 22");
  expect_refused(HeadBytes().put32(20, 0xffffffff), EINVAL, "cluster_bits");
  expect_refused(HeadBytes().put32(100, 103), EINVAL, "length of 103");
  expect_refused(HeadBytes().put32(100, 108), EINVAL, "length of 108");
  expect_refused(HeadBytes().put32(100, 65544), EINVAL, "length of 65544");
  expect_refused(HeadBytes().shorten(103), EINVAL, "ends inside the header");
  expect_refused(HeadBytes().put32(96, 7), EINVAL, "refcount_order is 7");
  expect_refused(HeadBytes().put64(72, kQcow2CompressionType), EINVAL, "feature bit is set");
  expect_refused(HeadBytes().put32(104, 1 << 24), EINVAL, "feature bit is clear");
  expect_refused(HeadBytes().put64(72, kQcow2CompressionType).put32(104, 2 << 24), ENOTSUP,
                 "compression type 2");
  expect_refused(
      HeadBytes().put64(72, kQcow2ExtendedL2).put32(20, 13).put64(40, 8192).put64(48, 16384),
      EINVAL, "extended L2 entries");
}

TEST(Qcow2Header, RefusesTablesThatCannotBeThere) {
  expect_refused(HeadBytes().put32(36, 1), EINVAL, "covers 536870912 of the disk's 1073741824");
  expect_refused(HeadBytes().put64(24, UINT64_MAX), EINVAL, "L1 table covers");
  expect_refused(HeadBytes().put32(36, (4 << 20) + 1), EFBIG, "4194305 entries");
  expect_refused(HeadBytes().put64(40, 3 * 65536 + 8), EINVAL, "L1 table's offset 196616");
  expect_refused(HeadBytes().put64(40, 0), EINVAL, "L1 table lies in the header");
  expect_refused(HeadBytes().put64(40, 4 * 65536), EINVAL, "L1 table at offset 262144 begins past");
  expect_refused(HeadBytes().put64(40, UINT64_MAX << 16), EINVAL, "begins past");
  expect_refused(HeadBytes().put32(56, 0), EINVAL, "no refcount table");
  expect_refused(HeadBytes().put32(56, 129), EFBIG, "refcount table has");
  expect_refused(HeadBytes().put64(48, 512), EINVAL, "refcount table's offset 512");
  expect_refused(HeadBytes().put64(48, 4 * 65536), EINVAL, "refcount table at offset 262144");
  expect_refused(HeadBytes().put32(60, 16385), EFBIG, "16385 snapshots");
  expect_refused(HeadBytes().put32(60, 1), EINVAL, "snapshot table lies in the header");
  expect_refused(HeadBytes().put32(60, 1).put64(64, 1), EINVAL, "snapshot table's offset 1");
}

TEST(Qcow2Header, ASnapshotTableThatIsCutOffDoesNotKeepTheDiskFromBeingRead) {
  const auto header = HeadBytes().put32(60, 1).put64(64, 100 * 65536).parse();
  ASSERT_TRUE(header.ok()) << header.status();
  EXPECT_EQ(header->snapshot_count, 1u);
}

TEST(Qcow2Header, RefusesNamesAndExtensionsThatDoNotFit) {
  expect_refused(HeadBytes().put64(8, 2000).put32(16, 1024), EINVAL, "1024 bytes, more than 1023");
  expect_refused(HeadBytes().put64(8, 65530).put32(16, 10), EINVAL, "offset 65530");
  expect_refused(HeadBytes().put64(8, 65537).put32(16, 0), EINVAL, "offset 65537");
  expect_refused(HeadBytes().put64(8, UINT64_MAX).put32(16, 10), EINVAL, "is not between");
  expect_refused(HeadBytes().put64(8, 100).put32(16, 4), EINVAL, "is not between");
  expect_refused(HeadBytes().put64(8, 2000).put32(16, 3).put(2000, std::string("a\0b", 3)), EINVAL,
                 "zero byte inside");
  expect_refused(HeadBytes().put32(112, 5).put32(116, 65536 - 119), EINVAL, "reaches past");
  expect_refused(HeadBytes().put32(112, 5).put32(116, UINT32_MAX), EINVAL, "reaches past");
  expect_refused(HeadBytes().extend(kQcow2ExtensionBackingFormat, std::string(256, 'x')), EINVAL,
                 "256 bytes");
  expect_refused(HeadBytes().extend(kQcow2ExtensionBitmaps, "short"), EINVAL, "5 bytes");
  const std::string no_bitmaps(24, '\0');
  expect_refused(HeadBytes().put64(88, kQcow2Bitmaps).extend(kQcow2ExtensionBitmaps, no_bitmaps),
                 EINVAL, "counts 0 bitmaps");
  EXPECT_TRUE(HeadBytes().extend(kQcow2ExtensionBitmaps, no_bitmaps).parse().ok());
  expect_refused(HeadBytes()
                     .put64(72, kQcow2ExternalDataFile)
                     .put64(88, kQcow2DataFileRaw)
                     .put64(8, 2000)
                     .put32(16, 4)
                     .put(2000, "base"),
                 EINVAL, "exclude each other");
}

TEST(Qcow2Header, TakesEmptyAndOddDisks) {
  EXPECT_TRUE(HeadBytes().put64(24, 0).put32(36, 0).put64(40, 0).parse().ok());
  EXPECT_TRUE(HeadBytes().put64(24, 0).put32(36, 0).put64(40, 1 << 30).parse().ok());
  EXPECT_EQ(HeadBytes().put64(24, 12345).parse()->size, 12345u);
}

TEST(Qcow2Header, TakesAHeadThatTheFileEndsIn) {
  HeadBytes head;
  head.put32(20, 21).put64(40, 2 << 20).put64(48, 4 << 20).shorten(60000);
  EXPECT_TRUE(head.parse(5 << 20).ok());
}

TEST(Qcow2Header, ReadsWhatQemuWrites) {
  const ImageFolder folder;
  const std::string image = folder.path("image");
  for (const unsigned bits : {9, 12, 16, 21}) {
    for (const char* compat : {"0.10", "1.1"}) {
      qemu_img(
          {"create", "-q", "-f", "qcow2", "-o",
           "compat=" + std::string(compat) + ",cluster_size=" + std::to_string(uint64_t{1} << bits),
           image, "100M"});
      const auto bytes = file_bytes(image);
      const auto size = qcow2_head_size(bytes, bytes.size());
      ASSERT_TRUE(size.ok());
      const auto header = parse_qcow2_header(std::span(bytes).first(*size), bytes.size());
      ASSERT_TRUE(header.ok()) << header.status();
      EXPECT_EQ(header->cluster_bits, bits);
      EXPECT_EQ(header->size, 100u << 20);
      // QEMU leaves the names out where clusters are small.
      EXPECT_EQ(header->feature_names.empty(), header->version == 2 || bits < 16)
          << bits << " " << compat;
    }
  }
}

TEST(Qcow2Header, NeverFailsToAnswerWhateverTheBytes) {
  std::mt19937_64 random(7);
  const uint64_t boundaries[] = {0,    1,     7,          8,          0x7f,
                                 0xff, 65535, UINT32_MAX, INT64_MAX,  UINT64_MAX,
                                 9,    21,    1 << 16,    3ULL << 16, UINT64_MAX << 16};
  unsigned accepted = 0;
  for (unsigned round = 0; round < 20'000; ++round) {
    HeadBytes head(round % 4 == 0 ? 2 : 3);
    head.put64(8, 500).put32(16, 20).put(500, std::string(20, 'b'));
    head.extend(kQcow2ExtensionBackingFormat, "qcow2")
        .extend(kQcow2ExtensionFeatureNames, feature_name(0, 9, "x") + feature_name(1, 0, "y"))
        .extend(kQcow2ExtensionBitmaps, std::string(24, '\1'))
        .extend(kQcow2ExtensionDataFile, "data");
    for (unsigned i = 0; i <= random() % 3; ++i) {
      const size_t offset = 8 + random() % 300;
      if (random() % 2 == 0) {
        head.put32(offset / 4 * 4,
                   static_cast<uint32_t>(boundaries[random() % std::size(boundaries)]));
      } else {
        head.put64(offset / 8 * 8, boundaries[random() % std::size(boundaries)]);
      }
    }
    // In memory of its own size, so that a byte too far is noticed by tools that look for that.
    const size_t length = random() % 2 == 0 ? 4096 : random() % 4096;
    const std::vector<std::byte> bytes(head.bytes().begin(), head.bytes().begin() + length);
    const auto header = parse_qcow2_header(bytes, random() % 2 == 0 ? 4 * 65536 : length);
    if (!header.ok()) {
      EXPECT_NE(status_text(header.status()), "");
      continue;
    }
    ++accepted;
    EXPECT_LE(header->size, header->l1_entries * (uint64_t{1} << (2 * header->cluster_bits - 3)));
    EXPECT_LE(header->backing_name.size(), 1023u);
  }
  EXPECT_GT(accepted, 100u);
}

}  // namespace
}  // namespace penstock
