// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <chrono>

#include "base/status.h"
#include "tests/drivers/driver_world.h"
#include "tests/drivers/test_files.h"

namespace penstock {
namespace {

using nlohmann::json;

TEST(NullDriver, HasOneGibibyteUnlessToldOtherwise) {
  DriverWorld world;
  EXPECT_EQ(world.serve({{"driver", "null-co"}}).root.node->size(), 1ull << 30);
  EXPECT_EQ(world.serve({{"driver", "null-co"}, {"size", 12345}}).root.node->size(), 12345u);
}

TEST(NullDriver, ForgetsWritesAndReadsAsZeroes) {
  DriverWorld world;
  Backend& backend = world.serve({{"driver", "null-co"}});
  EXPECT_TRUE(world.write(backend, 100, pattern(5000, 1)).ok());
  EXPECT_EQ(world.read(backend, 0, 8192), std::vector<std::byte>(8192));
  EXPECT_TRUE(world.flush(backend).ok());
  EXPECT_TRUE(world.write_zeroes(backend, {0, 1 << 20}).ok());
  EXPECT_TRUE(world.discard(backend, {0, 1 << 20}).ok());
  const auto status = world.status(backend, {0, 1 << 20});
  ASSERT_TRUE(status.ok());
  EXPECT_TRUE(status->zero);
}

TEST(NullDriver, WithoutReadZeroesLeavesMemoryAlone) {
  DriverWorld world;
  Backend& backend = world.serve({{"driver", "null-co"}, {"read-zeroes", false}});
  std::vector<std::byte> data(512, std::byte{7});
  EXPECT_TRUE(world.read(backend, 0, data).ok());
  EXPECT_EQ(data, std::vector<std::byte>(512, std::byte{7}));
}

TEST(NullDriver, TakesItsLatencyForEachRequest) {
  DriverWorld world;
  Backend& backend = world.serve({{"driver", "null-co"}, {"latency-ns", 20'000'000}});
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(world.read(backend, 0, 512).size(), 512u);
  EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(20));
}

TEST(NullDriver, NamesAnOptionThatItDoesNotHave) {
  DriverWorld world;
  const auto node = world.open({{"driver", "null-co"}, {"sise", 5}});
  EXPECT_EQ(status_errno(node.status()), EINVAL);
  EXPECT_NE(status_text(node.status()).find("sise"), std::string::npos);
}

}  // namespace
}  // namespace penstock
