// SPDX-License-Identifier: Apache-2.0
// The file driver on a block device: a loop device, where the machine lets us make one.
#include <gtest/gtest.h>
#include <unistd.h>

#include <optional>

#include "base/status.h"
#include "tests/drivers/child_process.h"
#include "tests/drivers/driver_world.h"
#include "tests/drivers/test_files.h"

namespace penstock {
namespace {

using Bytes = std::vector<std::byte>;
using nlohmann::json;

constexpr uint64_t kSize = 8 << 20;

class BlockDevice : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "making a loop device needs root";
    if (!have_program("losetup")) GTEST_SKIP() << "losetup is not installed";
    const auto made = run_process({"losetup", "-f", "--show", file_.path()});
    if (made.exit_status != 0) GTEST_SKIP() << "no loop device can be made: " << made.output;
    device_ = made.output.substr(0, made.output.find('\n'));
  }
  void TearDown() override {
    if (!device_.empty()) run_process({"losetup", "-d", device_});
  }
  json options() const {
    return {{"driver", "file"}, {"filename", device_}, {"cache", {{"direct", GetParam()}}}};
  }

  const TestFile file_{"/tmp", kSize};
  std::string device_;
};

INSTANTIATE_TEST_SUITE_P(Caching, BlockDevice, testing::Bool(),
                         [](const auto& tested) { return tested.param ? "direct" : "cached"; });

TEST_P(BlockDevice, IsReadAndWrittenAndHasAFixedSize) {
  DriverWorld world;
  Backend& backend = world.serve(options());
  EXPECT_EQ(backend.root.node->size(), kSize);
  const Bytes data = pattern(100'003, 1);
  ASSERT_TRUE(world.write(backend, 12'345, data).ok());
  EXPECT_EQ(world.read(backend, 12'345, data.size()), data);
  ASSERT_TRUE(world.flush(backend).ok());
  EXPECT_EQ(file_.read(12'345, data.size()), data);
  EXPECT_EQ(status_errno(world.resize(backend, 2 * kSize)), EOPNOTSUPP);
  EXPECT_EQ(status_errno(world.write(backend, kSize - 10, pattern(20, 1))), EIO);
}

TEST_P(BlockDevice, IsZeroedAndDiscardedInAnyRange) {
  DriverWorld world;
  Backend& backend = world.serve(options());
  Bytes expected = pattern(kSize, 2);
  ASSERT_TRUE(world.write(backend, 0, expected).ok());
  for (const RequestFlags flags : {kNoFlags, kMayUnmap}) {
    const uint64_t offset = 1'000'001 + flags * 1'000'000;
    const absl::Status zeroed = world.write_zeroes(backend, {offset, 300'007}, flags);
    ASSERT_TRUE(zeroed.ok()) << status_text(zeroed);
    std::fill_n(expected.begin() + static_cast<std::ptrdiff_t>(offset), 300'007, std::byte{0});
    EXPECT_EQ(world.read(backend, 0, kSize), expected);
  }
  const absl::Status discarded = world.discard(backend, {4'000'000, 1'000'000});
  ASSERT_TRUE(discarded.ok()) << status_text(discarded);
  const Bytes after = world.read(backend, 0, kSize);
  EXPECT_TRUE(std::equal(after.begin(), after.begin() + 4'000'000, expected.begin()));
  EXPECT_TRUE(std::equal(after.begin() + 5'000'000, after.end(), expected.begin() + 5'000'000));
}

}  // namespace
}  // namespace penstock
