// SPDX-License-Identifier: Apache-2.0
// The driver over images that QEMU's tools made, compared with what those tools read.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <random>

#include "base/big_endian.h"
#include "base/status.h"
#include "block/node/node.h"
#include "drivers/qcow2/qcow2_driver.h"
#include "drivers/qcow2/qcow2_process_memory.h"
#include "tests/drivers/driver_world.h"
#include "tests/drivers/qcow2/qemu_tools.h"

namespace penstock {
namespace {

using nlohmann::json;
using testing::HasSubstr;

constexpr uint64_t kMiB = 1 << 20;

json image_options(const std::string& path, json more = json::object()) {
  more["driver"] = "qcow2";
  more["read-only"] = true;
  if (!more.contains("file")) {
    more["file"] = {{"driver", "file"}, {"filename", path}, {"read-only", true}};
  }
  return more;
}

void create(const std::string& image, const std::string& options, const std::string& size,
            const std::vector<std::string>& more = {}) {
  std::vector<std::string> arguments = {"create", "-q", "-f", "qcow2"};
  if (!options.empty()) arguments.insert(arguments.end(), {"-o", options});
  arguments.insert(arguments.end(), more.begin(), more.end());
  arguments.insert(arguments.end(), {image, size});
  qemu_img(arguments);
}

std::vector<std::byte> read_all(DriverWorld& world, Backend& backend) {
  return world.read(backend, 0, backend.root.node->size());
}

// Compares without printing megabytes.
void expect_same(const std::vector<std::byte>& got, const std::vector<std::byte>& expected) {
  ASSERT_EQ(got.size(), expected.size());
  const auto [at, unused] = std::mismatch(got.begin(), got.end(), expected.begin());
  EXPECT_EQ(at - got.begin(), static_cast<std::ptrdiff_t>(got.size())) << "first difference";
}

struct Kind {
  const char* options;
  uint64_t cluster_size;
  bool compressed = true;
};

void PrintTo(const Kind& kind, std::ostream* out) { *out << kind.options; }

class Qcow2Kinds : public testing::TestWithParam<Kind> {};

TEST_P(Qcow2Kinds, ReadEveryByteAsQemuDoes) {
  const Kind& kind = GetParam();
  const ImageFolder folder;
  const std::string image = folder.path("image");
  const uint64_t size = std::max(4 * kMiB, 8 * kind.cluster_size) - 512;
  create(image, kind.options, std::to_string(size));
  fill_by_qemu(image, size, kind.cluster_size, kind.compressed, 1);

  DriverWorld world(2, Engine::kAuto, DriverWorld::Names::kFollowed);
  Backend& backend = world.serve(image_options(image), kReader);
  const auto expected = qemu_bytes(image);
  expect_same(read_all(world, backend), expected);

  std::atomic<unsigned> wrong{0};
  std::vector<std::function<void()>> readers;
  for (unsigned reader = 0; reader < 8; ++reader) {
    readers.emplace_back([&, reader] {
      assert_in_coroutine();
      std::mt19937 random(reader);
      for (unsigned i = 0; i < 40; ++i) {
        const uint64_t offset = random() % size;
        std::vector<std::byte> data(std::min<uint64_t>(1 + random() % 200'000, size - offset));
        if (!co_read(backend, offset, data).ok() ||
            !std::equal(data.begin(), data.end(),
                        expected.begin() + static_cast<std::ptrdiff_t>(offset))) {
          ++wrong;
        }
      }
    });
  }
  world.run_all(readers);
  EXPECT_EQ(wrong, 0u);
}

INSTANTIATE_TEST_SUITE_P(
    All, Qcow2Kinds,
    testing::Values(Kind{"compat=0.10,cluster_size=512", 512},
                    Kind{"compat=0.10,cluster_size=65536", 65536},
                    Kind{"cluster_size=512,refcount_bits=64", 512},
                    Kind{"cluster_size=4096,refcount_bits=16", 4096},
                    Kind{"cluster_size=65536,compression_type=zstd", 65536},
                    Kind{"cluster_size=65536,lazy_refcounts=on", 65536},
                    Kind{"cluster_size=2M,compression_type=zlib", 2 * kMiB},
                    Kind{"cluster_size=16384,extended_l2=on", 16384},
                    Kind{"cluster_size=131072,extended_l2=on,compression_type=zstd", 131072},
                    Kind{"cluster_size=65536,preallocation=metadata", 65536},
                    Kind{"cluster_size=65536,preallocation=falloc", 65536}));

TEST(Qcow2Driver, ReadsThroughAChainOfDifferingSizesAndFormats) {
  const ImageFolder folder;
  const std::string raw = folder.path("base.raw");
  const std::string middle = folder.path("middle");
  const std::string top = folder.path("top");
  qemu_img({"create", "-q", "-f", "raw", raw, std::to_string(kMiB + 512)});
  std::vector<uint8_t> noise(kMiB + 512);
  std::mt19937 random(2);
  for (uint8_t& byte : noise) byte = static_cast<uint8_t>(random());
  patch_file(raw, 0, noise);
  create(middle, "cluster_size=4096,backing_file=base.raw,backing_fmt=raw", "3M");
  fill_by_qemu(middle, 3 * kMiB, 4096, true, 3);
  create(top, "cluster_size=65536,extended_l2=on,backing_file=middle,backing_fmt=qcow2", "2M");
  fill_by_qemu(top, 2 * kMiB, 65536, true, 4);

  DriverWorld world(1, Engine::kAuto, DriverWorld::Names::kFollowed);
  Backend& backend = world.serve(image_options(top), kReader);
  expect_same(read_all(world, backend), qemu_bytes(top));
}

TEST(Qcow2Driver, SharesItsFileAndBackingNodesWithOthers) {
  const ImageFolder folder;
  const std::string image = folder.path("top");
  create(folder.path("base"), "", "1M");
  qemu_io(folder.path("base"), {"write -P 1 0 1M"});
  create(image, "backing_file=base,backing_fmt=qcow2", "1M");
  qemu_io(image, {"write -P 2 0 64k"});
  qemu_img({"snapshot", "-c", "one", image});
  qemu_io(image, {"write -P 3 0 64k"});

  DriverWorld world;
  ASSERT_TRUE(world.open(image_options(folder.path("base"), {{"node-name", "base"}})).ok());
  ASSERT_TRUE(
      world
          .open(
              {{"driver", "file"}, {"filename", image}, {"read-only", true}, {"node-name", "file"}})
          .ok());
  const json shared = {{"file", "file"}, {"backing", "base"}};
  Backend& disk = world.serve(image_options(image, shared), kReader);
  json snapshot = shared;
  snapshot["snapshot"] = "one";
  Backend& view = world.serve(image_options(image, snapshot), kReader);
  EXPECT_EQ(world.read(disk, 0, 1)[0], std::byte{3});
  EXPECT_EQ(world.read(view, 0, 1)[0], std::byte{2});
  EXPECT_EQ(world.read(disk, 65536, 1)[0], std::byte{1});
  EXPECT_EQ(world.read(view, 65536, 1)[0], std::byte{1});
}

TEST(Qcow2Driver, DoesNotFollowNamesUnlessItMay) {
  const ImageFolder folder;
  create(folder.path("base"), "", "1M");
  create(folder.path("top"), "backing_file=base,backing_fmt=qcow2", "1M");
  DriverWorld world;
  const auto refused = world.open(image_options(folder.path("top")));
  EXPECT_EQ(status_errno(refused.status()), EPERM);
  EXPECT_THAT(status_text(refused.status()), HasSubstr("'base' as its backing file"));
  // What the options say needs no name; null is none.
  Backend& alone = world.serve(image_options(folder.path("top"), {{"backing", nullptr}}), kReader);
  EXPECT_EQ(alone.root.node->find_child("backing"), nullptr);
  Backend& given = world.serve(
      image_options(folder.path("top"), {{"backing", image_options(folder.path("base"))}}),
      kReader);
  EXPECT_NE(given.root.node->find_child("backing"), nullptr);
}

TEST(Qcow2Driver, ShowsSnapshotsAtTheirOwnSizesBesideTheDisk) {
  const ImageFolder folder;
  const std::string image = folder.path("image");
  create(image, "", "2M");
  fill_by_qemu(image, 2 * kMiB, 65536, true, 5);
  qemu_img({"snapshot", "-c", "small", image});
  qemu_img({"resize", "-q", image, "5M"});
  fill_by_qemu(image, 5 * kMiB, 65536, true, 6);
  qemu_img({"snapshot", "-c", "1", image});
  fill_by_qemu(image, 5 * kMiB, 65536, true, 7);

  DriverWorld world;
  const json file = {
      {"driver", "file"}, {"filename", image}, {"read-only", true}, {"node-name", "the-file"}};
  ASSERT_TRUE(world.open(file).ok());
  const auto serve = [&](json more) -> Backend& {
    more["file"] = "the-file";
    return world.serve(image_options(image, more), kReader);
  };
  Backend& disk = serve(json::object());
  expect_same(read_all(world, disk), qemu_bytes(image));
  Backend& small = serve({{"snapshot", "small"}});
  EXPECT_EQ(small.root.node->size(), 2 * kMiB);
  // QEMU's tool shows a snapshot at the size that the disk has now.
  auto first = qemu_bytes(image, "snapshot.name=small");
  first.resize(2 * kMiB);
  expect_same(read_all(world, small), first);
  const auto second = qemu_bytes(image, "snapshot.name=1");
  expect_same(read_all(world, serve({{"snapshot", "1"}})), second);
  expect_same(read_all(world, serve({{"snapshot-id", "2"}})), second);
  EXPECT_EQ(serve({{"snapshot-id", "1"}}).root.node->size(), 2 * kMiB);
  EXPECT_TRUE(small.root.node->driver->snapshots().empty());

  const json facts = qemu_info(image)["snapshots"];
  const auto snapshots = disk.root.node->driver->snapshots();
  ASSERT_EQ(snapshots.size(), facts.size());
  for (size_t i = 0; i < facts.size(); ++i) {
    EXPECT_EQ(json(snapshots[i].id), facts[i]["id"]);
    EXPECT_EQ(json(snapshots[i].name), facts[i]["name"]);
    EXPECT_EQ(json(snapshots[i].date_seconds), facts[i]["date-sec"]);
    EXPECT_EQ(json(snapshots[i].date_nanoseconds), facts[i]["date-nsec"]);
    EXPECT_EQ(json(snapshots[i].vm_state_size), facts[i]["vm-state-size"]);
  }
  const auto missing = world.open(image_options(image, {{"snapshot", "big"}})).status();
  EXPECT_EQ(status_errno(missing), ENOENT);
  EXPECT_THAT(status_text(missing), HasSubstr("no snapshot 'big'; it has 'small', '1'"));
  EXPECT_EQ(
      status_errno(
          world.open(image_options(image, {{"snapshot", "1"}, {"snapshot-id", "1"}})).status()),
      EINVAL);
}

TEST(Qcow2Driver, ReadsZeroesWhereASnapshotsTableIsTooShort) {
  const ImageFolder folder;
  const std::string image = folder.path("image");
  create(image, "cluster_size=512", "64k");
  qemu_io(image, {"write -P 7 0 64k"});
  qemu_img({"snapshot", "-c", "one", image});
  const auto bytes = file_bytes(image);
  const uint64_t table = load_be64(&bytes[64]);
  patch_file(image, table + 48, {0, 0, 0, 0, 0, 2, 0, 0});  // the disk's size: 128 KiB

  DriverWorld world;
  Backend& backend = world.serve(image_options(image, {{"snapshot", "one"}}), kReader);
  std::vector<std::byte> expected(128 << 10);
  std::fill_n(expected.begin(), 64 << 10, std::byte{7});
  expect_same(read_all(world, backend), expected);
}

TEST(Qcow2Driver, ReadsExternalDataFiles) {
  const ImageFolder folder;
  const std::string image = folder.path("image");
  for (const char* raw : {"off", "on"}) {
    create(image, "data_file=" + folder.path("data") + ",data_file_raw=" + raw, "4M");
    fill_by_qemu(image, 4 * kMiB, 65536, false, 8);
    DriverWorld world(1, Engine::kAuto, DriverWorld::Names::kFollowed);
    Backend& backend = world.serve(image_options(image), kReader);
    expect_same(read_all(world, backend), qemu_bytes(image));
    const json data_file = {
        {"driver", "file"}, {"filename", folder.path("data")}, {"read-only", true}};
    Backend& given = world.serve(image_options(image, {{"data-file", data_file}}), kReader);
    expect_same(read_all(world, given), qemu_bytes(image));
    EXPECT_EQ(status_errno(world.open(image_options(image, {{"data-file", nullptr}})).status()),
              EINVAL);
  }
  create(folder.path("plain"), "", "1M");
  DriverWorld world;
  const json data_file = {
      {"driver", "file"}, {"filename", folder.path("data")}, {"read-only", true}};
  EXPECT_EQ(
      status_errno(
          world.open(image_options(folder.path("plain"), {{"data-file", data_file}})).status()),
      EINVAL);
}

TEST(Qcow2Driver, TellsTheFactsThatQemuTells) {
  const ImageFolder folder;
  const std::string image = folder.path("image");
  create(folder.path("base"), "", "1M");
  const std::string data = folder.path("data");
  for (const std::string& options :
       {std::string("compat=0.10"), std::string("lazy_refcounts=on,refcount_bits=1"),
        std::string("compression_type=zstd,extended_l2=on"),
        std::string("cluster_size=1M,refcount_bits=64"),
        std::string("backing_file=base,backing_fmt=qcow2"), "data_file_raw=on,data_file=" + data,
        "data_file=" + data}) {
    create(image, options, "3M");
    if (options.starts_with("cluster_size")) {
      qemu_img({"bitmap", "--add", image, "changes"});
      qemu_img({"bitmap", "--add", "--disable", "-g", "131072", image, "old"});
    }
    json expected = qemu_info(image);
    DriverWorld world(1, Engine::kAuto, DriverWorld::Names::kFollowed);
    const json facts = world.serve(image_options(image), kReader).root.node->driver->describe();
    EXPECT_EQ(facts["format-specific"], expected["format-specific"]) << options;
    for (const char* key :
         {"cluster-size", "dirty-flag", "backing-filename", "backing-filename-format"}) {
      EXPECT_EQ(facts.value(key, json()), expected.value(key, json())) << key << " " << options;
    }
  }
}

TEST(Qcow2Driver, ReadsDirtyAndCorruptImages) {
  const ImageFolder folder;
  const std::string image = folder.path("image");
  create(image, "", "1M");
  qemu_io(image, {"write -P 9 0 1M"});
  patch_file(image, 79, {3});
  DriverWorld world;
  Backend& backend = world.serve(image_options(image), kReader);
  expect_same(read_all(world, backend), std::vector<std::byte>(kMiB, std::byte{9}));
  EXPECT_EQ(backend.root.node->driver->describe()["dirty-flag"], true);
}

TEST(Qcow2Driver, WarnsOfACorruptMarkOnly) {
  const ImageFolder folder;
  const std::string image = folder.path("image");
  create(image, "", "1M");
  DriverWorld world;
  EXPECT_THAT(world.serve(image_options(image), kReader).root.node->driver->warnings(),
              testing::IsEmpty());
  patch_file(image, 79, {3});
  EXPECT_THAT(world.serve(image_options(image), kReader).root.node->driver->warnings(),
              testing::ElementsAre(HasSubstr("marked corrupt")));
}

TEST(Qcow2Driver, ShowsTheDiskWhoseSnapshotTableIsCutOff) {
  const ImageFolder folder;
  const std::string image = folder.path("image");
  create(image, "", "1M");
  qemu_io(image, {"write -P 9 0 1M"});
  qemu_img({"snapshot", "-c", "one", image});
  patch_file(image, 63, {4});  // the header counts four
  std::filesystem::resize_file(image, load_be64(&file_bytes(image)[64]) + 64);
  DriverWorld world;
  Backend& backend = world.serve(image_options(image), kReader);
  expect_same(read_all(world, backend), std::vector<std::byte>(kMiB, std::byte{9}));
  EXPECT_THAT(backend.root.node->driver->snapshots(), testing::IsEmpty());
  EXPECT_THAT(backend.root.node->driver->warnings(),
              testing::ElementsAre(HasSubstr("ends inside the snapshot table")));
  const auto refused = world.open(image_options(image, {{"snapshot", "one"}})).status();
  EXPECT_EQ(status_errno(refused), EIO);
}

TEST(Qcow2Driver, ManySnapshotsKeepNoMoreClustersThanOneImage) {
  const ImageFolder folder;
  const std::string image = folder.path("image");
  create(image, "cluster_size=2M", "2M");
  qemu_io(image, {"write -c -P 9 0 2M"});
  constexpr unsigned kCount = 20;
  for (unsigned i = 0; i < kCount; ++i) {
    qemu_img({"snapshot", "-c", "s" + std::to_string(i), image});
  }
  DriverWorld world;
  const json file = {
      {"driver", "file"}, {"filename", image}, {"read-only", true}, {"node-name", "the-file"}};
  ASSERT_TRUE(world.open(file).ok());
  for (unsigned i = 0; i < kCount; ++i) {
    Backend& view = world.serve(
        image_options(image, {{"file", "the-file"}, {"snapshot", "s" + std::to_string(i)}}),
        kReader);
    EXPECT_EQ(world.read(view, 4096, 1)[0], std::byte{9});
  }
  EXPECT_GE(Qcow2ProcessMemory::shared().kept.bytes(), 12 * kMiB);
  EXPECT_LE(Qcow2ProcessMemory::shared().kept.bytes(), 16 * kMiB);
}

// Those who read the outer image's compressed data have their part of the budget while the inner
// image needs its own.
TEST(Qcow2Driver, ReadsACompressedImageInsideACompressedImage) {
  const ImageFolder folder;
  constexpr unsigned kReaders = 16;
  create(folder.path("inner"), "cluster_size=2M", std::to_string(2 * kReaders) + "M");
  std::vector<std::string> writes;
  for (unsigned i = 0; i < kReaders; ++i) {
    writes.push_back("write -c -P " + std::to_string(i + 1) + " " + std::to_string(2 * i) + "M 2M");
  }
  qemu_io(folder.path("inner"), writes);
  qemu_img({"convert", "-c", "-f", "raw", "-O", "qcow2", "-o", "cluster_size=2M",
            folder.path("inner"), folder.path("outer")});

  DriverWorld world;
  Backend& backend =
      world.serve(image_options("", {{"file", image_options(folder.path("outer"))}}), kReader);
  std::atomic<unsigned> right{0};
  std::vector<std::function<void()>> readers;
  for (unsigned i = 0; i < kReaders; ++i) {
    readers.emplace_back([&, i] {
      assert_in_coroutine();
      std::vector<std::byte> data(4096);
      if (co_read(backend, 2 * kMiB * i, data).ok() && data[0] == std::byte(i + 1)) ++right;
    });
  }
  world.run_all(readers);
  EXPECT_EQ(right, kReaders);
}

TEST(Qcow2Driver, OpensEmptyAndHugeDisks) {
  const ImageFolder folder;
  create(folder.path("empty"), "", "0");
  create(folder.path("huge"), "cluster_size=2M", "1P");
  DriverWorld world;
  EXPECT_EQ(world.serve(image_options(folder.path("empty")), kReader).root.node->size(), 0u);
  Backend& huge = world.serve(image_options(folder.path("huge")), kReader);
  const uint64_t size = uint64_t{1} << 50;
  EXPECT_EQ(huge.root.node->size(), size);
  expect_same(world.read(huge, size - 4096, 4096), std::vector<std::byte>(4096));
}

TEST(Qcow2Driver, FailsForTheDamagedRangeAlone) {
  const ImageFolder folder;
  const std::string image = folder.path("image");
  create(image, "", "1M");
  qemu_io(image, {"write -P 9 0 1M"});
  const auto bytes = file_bytes(image);
  // The L1 table is the fourth cluster of a new image, its first entry names the L2 table.
  uint64_t table = 0;
  for (size_t i = 0; i < 8; ++i) table = table << 8 | static_cast<uint64_t>(bytes[3 * 65536 + i]);
  table &= ~kQcow2Copied;
  patch_file(image, table + 5 * 8, {0x80, 0, 0, 0, 0, 0, 0x12, 0});
  DriverWorld world;
  Backend& backend = world.serve(image_options(image), kReader);
  std::vector<std::byte> data(65536);
  for (uint64_t cluster = 0; cluster < 16; ++cluster) {
    const absl::Status status = world.read(backend, cluster * 65536, data);
    EXPECT_EQ(status_errno(status), cluster == 5 ? EIO : 0) << cluster << " " << status;
  }
}

TEST(Qcow2Driver, RefusesToWrite) {
  const ImageFolder folder;
  const std::string image = folder.path("image");
  create(image, "", "1M");
  DriverWorld world;
  json options = image_options(image);
  options["read-only"] = false;
  const auto refused = world.open(options).status();
  EXPECT_EQ(status_errno(refused), EROFS);
  EXPECT_THAT(status_text(refused), HasSubstr("writing qcow2 images is not supported yet"));
}

TEST(Qcow2Driver, RefusesEncryptedImages) {
  const ImageFolder folder;
  const std::string image = folder.path("image");
  create(image, "encrypt.format=aes,encrypt.key-secret=key", "1M",
         {"--object", "secret,id=key,data=secret"});
  DriverWorld world;
  const auto refused = world.open(image_options(image)).status();
  EXPECT_EQ(status_errno(refused), ENOTSUP);
  EXPECT_THAT(status_text(refused), HasSubstr("encrypted (AES)"));
}

TEST(Qcow2DriverType, KnowsItsImagesByMagicAndVersion) {
  const Qcow2DriverType type;
  const auto probe = [&](const std::vector<uint8_t>& head) {
    return type.probe(std::as_bytes(std::span(head)));
  };
  EXPECT_EQ(probe({'Q', 'F', 'I', 0xfb, 0, 0, 0, 3}), 100);
  EXPECT_EQ(probe({'Q', 'F', 'I', 0xfb, 0, 0, 0, 2}), 100);
  EXPECT_EQ(probe({'Q', 'F', 'I', 0xfb, 0, 0, 0, 1}), 0);
  EXPECT_EQ(probe({'Q', 'F', 'I', 0xfb, 0, 0, 0}), 0);
  EXPECT_EQ(probe({'R', 'F', 'I', 0xfb, 0, 0, 0, 3}), 0);
}

}  // namespace
}  // namespace penstock
