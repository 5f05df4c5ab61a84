// SPDX-License-Identifier: Apache-2.0
// The copying filters by their commands.
#include <cerrno>

#include "tests/control/command_fixture.h"

namespace penstock {
namespace {

using Json = nlohmann::json;

constexpr Permissions kGuest = {kConsistentRead | kWrite | kWriteUnchanged, kAllPermissions};

class CopyFiltersTest : public CommandFixture {
 protected:
  void add_null(const std::string& name, uint64_t size = 1 << 20) {
    must("blockdev-add", {{"driver", "null-co"}, {"node-name", name}, {"size", size}});
  }
};

TEST_F(CopyFiltersTest, CopyBeforeWriteIsPutInAndTakenOutUnderItsUsers) {
  add_null("disk");
  add_null("copy");
  attach("guest", "disk", kGuest);
  const std::string before = picture();
  const Json filter = {{"driver", "copy-before-write"}, {"node-name", "cbw"}, {"target", "copy"}};
  must("x-penstock-insert-filter", {{"node-name", "disk"}, {"filter", filter}});
  EXPECT_EQ(facts("cbw")["x-penstock-users"], (Json{"backend 'guest'"}));
  EXPECT_EQ(facts("copy")["x-penstock-users"], (Json{"node 'cbw' (its 'target')"}));
  EXPECT_TRUE(refuses("block_resize", {{"node-name", "disk"}, {"size", 4096}}, EBUSY, {"'cbw'"}));
  must("x-penstock-remove-filter", {{"node-name", "cbw"}});
  EXPECT_EQ(picture(), before);
}

TEST_F(CopyFiltersTest, CopyBeforeWriteIsAddedWithItsChildrenDescribed) {
  must("blockdev-add", {{"driver", "copy-before-write"},
                        {"node-name", "cbw"},
                        {"on-cbw-error", "break-snapshot"},
                        {"cbw-timeout", 5},
                        {"file", {{"driver", "null-co"}, {"size", 65536}}},
                        {"target", {{"driver", "null-co"}, {"size", 65536}}}});
  must("blockdev-del", {{"node-name", "cbw"}});
  EXPECT_TRUE(node_names().empty());
}

TEST_F(CopyFiltersTest, CopyBeforeWriteIsRefusedWithoutATargetThatHoldsTheDisk) {
  add_null("disk");
  add_null("small", 4096);
  attach("guest", "disk", kGuest);
  Json filter = {{"driver", "copy-before-write"}, {"node-name", "cbw"}};
  EXPECT_TRUE(refuses("x-penstock-insert-filter", {{"node-name", "disk"}, {"filter", filter}},
                      EINVAL, {"\"target\""}));
  filter["target"] = "small";
  EXPECT_TRUE(refuses("x-penstock-insert-filter", {{"node-name", "disk"}, {"filter", filter}},
                      EINVAL, {"'small'", "4096"}));
  filter["target"] = "disk";
  EXPECT_TRUE(refuses("x-penstock-insert-filter", {{"node-name", "disk"}, {"filter", filter}},
                      EBUSY, {"'disk'"}));
}

TEST_F(CopyFiltersTest, CopyOnReadIsPutInAndTakenOut) {
  add_null("disk");
  attach("guest", "disk", kGuest);
  const std::string before = picture();
  must("x-penstock-insert-filter",
       {{"node-name", "disk"}, {"filter", {{"driver", "copy-on-read"}, {"node-name", "cor"}}}});
  EXPECT_EQ(facts("cor")["x-penstock-users"], (Json{"backend 'guest'"}));
  must("x-penstock-remove-filter", {{"node-name", "cor"}});
  EXPECT_EQ(picture(), before);
}

}  // namespace
}  // namespace penstock
