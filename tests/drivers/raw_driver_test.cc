// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "base/status.h"
#include "tests/drivers/driver_world.h"
#include "tests/drivers/test_files.h"

namespace penstock {
namespace {

using nlohmann::json;

json raw(const TestFile& file, json more = json::object()) {
  more["driver"] = "raw";
  more["file"] = {{"driver", "file"}, {"filename", file.path()}};
  return more;
}

TEST(RawDriver, ShowsAWindowOfTheFileAndNoMore) {
  const TestFile file("/dev/shm", 10'000);
  const auto data = pattern(10'000, 1);
  file.write(0, data);
  DriverWorld world;
  Backend& backend = world.serve(raw(file, {{"offset", 1001}, {"size", 5003}}));
  EXPECT_EQ(backend.root.node->size(), 5003u);
  EXPECT_EQ(world.read(backend, 0, 5003),
            std::vector<std::byte>(data.begin() + 1001, data.begin() + 6004));
  EXPECT_EQ(status_errno(world.write(backend, 5000, pattern(4, 2))), EIO);
  EXPECT_EQ(file.read(0, 10'000), data);
}

TEST(RawDriver, WithASizeCannotBeResized) {
  const TestFile file("/dev/shm", 10'000);
  DriverWorld world;
  Backend& backend = world.serve(raw(file, {{"size", 5000}}));
  EXPECT_EQ(status_errno(world.resize(backend, 6000)), EOPNOTSUPP);
  EXPECT_EQ(file.size(), 10'000u);
}

TEST(RawDriver, RefusesAWindowThatDoesNotFit) {
  const TestFile file("/dev/shm", 10'000);
  DriverWorld world;
  EXPECT_EQ(status_errno(world.open(raw(file, {{"offset", 10'001}})).status()), EINVAL);
  EXPECT_EQ(status_errno(world.open(raw(file, {{"offset", 1}, {"size", 10'000}})).status()),
            EINVAL);
  EXPECT_EQ(status_errno(world.open(raw(file, {{"size", UINT64_MAX}})).status()), EINVAL);
}

}  // namespace
}  // namespace penstock
