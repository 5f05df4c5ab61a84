// SPDX-License-Identifier: Apache-2.0
#include "block/graph/resize.h"

#include <cerrno>

#include "tests/block/graph/graph_fixture.h"

namespace penstock {
namespace {

class ResizeTest : public GraphFixture {
 protected:
  absl::Status resize(const std::string& node, uint64_t size) {
    return on_control([&] {
      assert_in_coroutine();
      assert_control_thread();
      return co_resize_node(*graph_, node, size);
    });
  }
};

TEST_F(ResizeTest, TellsEveryBackendAboveTheNode) {
  ASSERT_OK(open(spy_options("disk")));
  ASSERT_OK(open(spy_above("spy-filter", "filter", std::string("disk"))));
  auto direct = attach("direct", "disk", kReader);
  auto above = attach("above", "filter", kReader);
  uint64_t direct_size = 0, above_size = 0;
  (*direct)->on_resize = [&](uint64_t size) { direct_size = size; };
  (*above)->on_resize = [&](uint64_t size) { above_size = size; };
  ASSERT_OK(resize("disk", 1 << 20));
  EXPECT_EQ(direct_size, 1u << 20);
  EXPECT_EQ(above_size, 1u << 20);
  EXPECT_OK(detach(*direct));
  EXPECT_OK(detach(*above));
}

TEST_F(ResizeTest, IsRefusedWhereAUserDoesNotShareIt) {
  ASSERT_OK(open(spy_options("disk")));
  auto job = attach("job", "disk", {kConsistentRead, kAllPermissions & ~kResize});
  EXPECT_TRUE(fails_with(resize("disk", 4096), EBUSY, {"'disk'", "'job'", "resize"}));
  EXPECT_TRUE(fails_with(resize("nobody", 4096), ENOENT, {"'nobody'"}));
  EXPECT_OK(detach(*job));
}

TEST_F(ResizeTest, IsRefusedOnAReadOnlyNode) {
  NodeOptions options = spy_options("disk");
  options.read_only = true;
  ASSERT_OK(open(options));
  EXPECT_TRUE(fails_with(resize("disk", 4096), EROFS, {"'disk'"}));
}

}  // namespace
}  // namespace penstock
